package main

import "fmt"

// amx has tiles of 16 rows of 64 bytes beside the vectors of avx512.
var amx = unit{"amx", "Z", 1}

// The prefix field pp of a VEX instruction.
const (
	ppNone = iota
	pp66
	ppF3
	ppF2
)

// vexTile begins a VEX.128.pp.0F38.W0 instruction: x and b extend the index and
// the base, v is the register of vvvv.
func vexTile(pp, x, b, v, op int) []int {
	return []int{0xc4, 1<<7 | (1-x)<<6 | (1-b)<<5 | 2, (^v&15)<<3 | pp, op}
}

// tileMem writes an instruction on tile t and rows at m, m.index bytes times
// m.scale apart.
func (a *asm) tileMem(pp, op, t int, m mem) []int {
	base, index := regNum[m.base], regNum[m.index]
	code := vexTile(pp, index>>3, base>>3, 0, op)
	sib := map[int]int{1: 0, 2: 1}[m.scale]<<6 | index&7<<3 | base&7
	switch {
	case m.disp == 0 && base&7 != 5:
		return append(code, t<<3|4, sib)
	case m.disp >= -128 && m.disp <= 127:
		return append(code, 1<<6|t<<3|4, sib, m.disp&0xff)
	}
	return append(code, 2<<6|t<<3|4, sib, m.disp&0xff, m.disp>>8&0xff, m.disp>>16&0xff, m.disp>>24&0xff)
}

// tileload reads tile t; once: it is not needed again soon and stays out of L1.
func (a *asm) tileload(m mem, t int, once bool) {
	name, pp := "TILELOADD", ppF2
	if once {
		name, pp = "TILELOADDT1", pp66
	}
	a.raw(a.tileMem(pp, 0x4b, t, m), "%s %s, T%d", name, m, t)
}

func (a *asm) tilestore(t int, m mem) {
	a.raw(a.tileMem(ppF3, 0x4b, t, m), "TILESTORED T%d, %s", t, m)
}

func (a *asm) tilezero(t int) {
	a.raw(append(vexTile(ppF2, 0, 0, 0, 0x49), 0xc0|t<<3), "TILEZERO T%d", t)
}

// ldtilecfg configures the tiles from 64 bytes at a register below R8.
func (a *asm) ldtilecfg(reg string) {
	a.raw(append(vexTile(ppNone, 0, 0, 0, 0x49), regNum[reg]), "LDTILECFG 0(%s)", reg)
}

func (a *asm) tilerelease() {
	a.raw(append(vexTile(ppNone, 0, 0, 0, 0x49), 0xc0), "TILERELEASE")
}

// tdp: tile c += tile x (rows of the left operand) · tile w (of the right one).
func (a *asm) tdp(name string, pp, op, w, x, c int) {
	a.raw(append(vexTile(pp, 0, 0, w, op), 0xc0|c<<3|x), "%s T%d, T%d, T%d", name, w, x, c)
}

// Tiles 0 to 3 are sums, tile 2i+j of row tile i and panel j where there are two
// row tiles, else tile j; then come the row tiles of activations, then panels.
const firstOperand = 4

func sumTile(mr, i, j int) int {
	if mr == 1 {
		return j
	}
	return 2*i + j
}

// amxBF16 multiplies mr tiles of up to 16 activation rows with panels panels over
// steps times 32 of k, count times, each mr·16 rows further on. What lies ahead
// bytes after the panels, unless that is 0, is asked for into L2 while many rows
// use them; else their own next lines are.
func (a *asm) amxBF16(mr, panels int) {
	a.fn(fmt.Sprintf("bf16x%dx%d", mr, panels), "(steps, count int, cfg, x, w, c unsafe.Pointer, ahead, lda, ldc, next, acc int)")
	const lda, ldc, next, wStride, x, c, count, far = "R8", "R10", "AX", "R12", "R9", "DX", "R15", "R13"
	a.load("steps", "count:"+count, "cfg:SI", "x:"+x, "w", "c:"+c, "ahead", "lda:"+lda, "ldc:"+ldc, "next:"+next)
	a.ldtilecfg("SI")
	a.i("MOVQ $64, %s", wStride)
	panel := []string{"DI", "BX", "R11", "R13"}[:panels]
	rows := []string{"SI", "R11"}[:mr]
	if mr == 2 {
		a.i("MOVQ ahead+48(FP), %s", far)
		a.i("TESTQ %s, %s", far, far)
		a.i("JZ rows")
		a.i("ADDQ w+32(FP), %s", far)
	}
	a.label("rows")
	a.i("MOVQ %s, SI", x)
	if mr == 2 {
		a.i("MOVQ %s, R11", lda)
		a.i("SHLQ $4, R11")
		a.i("ADDQ SI, R11")
	}
	a.i("MOVQ w+32(FP), DI")
	for j := 1; j < panels; j++ {
		a.i("LEAQ (%s)(%s*1), %s", panel[j-1], next, panel[j])
	}
	a.i("MOVQ steps+0(FP), CX")
	sums := func(f func(t int, m mem)) {
		for i := range mr {
			for j := range panels {
				f(sumTile(mr, i, j), mem{64 * j, []string{c, "R14"}[i], ldc, 1})
			}
		}
	}
	if mr == 2 {
		a.i("MOVQ %s, R14", ldc)
		a.i("SHLQ $4, R14")
		a.i("ADDQ %s, R14", c)
	}
	a.i("CMPQ acc+80(FP), $0")
	a.i("JEQ zero")
	sums(func(t int, m mem) { a.tileload(m, t, true) })
	a.i("JMP start")
	a.label("zero")
	sums(func(t int, _ mem) { a.tilezero(t) })
	a.label("start")
	step := func(mayAsk func()) {
		// The first row tile meets each panel as it arrives, the second one all.
		w := func(j int) int { return firstOperand + mr + j%(firstOperand-mr) }
		for i := range mr {
			a.tileload(mem{0, rows[i], lda, 1}, firstOperand+i, mr > 1)
			for j := range panels {
				if i == 0 {
					a.tileload(mem{0, panel[j], wStride, 1}, w(j), false)
				}
				a.tdp("TDPBF16PS", ppF3, 0x5c, w(j), firstOperand+i, sumTile(mr, i, j))
			}
		}
		mayAsk()
		for _, r := range rows {
			a.i("ADDQ $64, %s", r)
		}
		for _, p := range panel {
			a.i("ADDQ $1024, %s", p)
		}
		a.i("DECQ CX")
	}
	// Every second line 2 KB ahead: its neighbour comes with it.
	near := func() {
		for _, p := range panel {
			for line := 0; line < 1024; line += 128 {
				a.i("PREFETCHT0 %d(%s)", 2048+line, p)
			}
		}
	}
	if mr == 2 {
		a.i("TESTQ %s, %s", far, far)
		a.i("JNZ far")
	}
	a.label("near")
	step(near)
	a.i("JNZ near")
	if mr == 2 {
		a.i("JMP store")
		a.label("far")
		step(func() {
			for j := range panels {
				for line := 0; line < 128; line += 64 {
					m := mem{line, far, "", 0}
					if j > 0 {
						m = mem{line, far, next, 1}
					}
					a.i("PREFETCHT1 %s", m)
				}
			}
			a.i("ADDQ $128, %s", far)
		})
		a.i("JNZ far")
		a.label("store")
	}
	sums(func(t int, m mem) { a.tilestore(t, m) })
	for range mr {
		for _, s := range [][2]string{{lda, x}, {ldc, c}} {
			a.i("MOVQ %s, CX", s[0])
			a.i("SHLQ $4, CX")
			a.i("ADDQ CX, %s", s[1])
		}
	}
	a.i("DECQ %s", count)
	a.i("JNZ rows")
	a.tilerelease()
	a.ret()
}

// amxInt8 multiplies rows rows, 17 to 32, of int8 groups of activations with
// panels panels of an own format, whose weights are bytes: subs times 64 of k. The
// sums of a group go to memory while the products of the next one begin; scratch
// has 8 KB for them.
func (a *asm) amxInt8(q ownKind, panels int) {
	a.fn(fmt.Sprintf("int8%sx%d", q.name, panels), "(subs, rows int, cfg, x, w, c, scratch unsafe.Pointer, lda, ldc, next, acc int)")
	const lda, ldc, wStride, left, header, pending, flip = "R8", "R10", "R12", "R14", "R15", "AX", "R9"
	a.load("subs:"+left, "rows", "cfg:SI", "x:"+header, "w:DI", "c", "scratch", "lda:"+lda, "ldc:"+ldc, "next:BX")
	a.ldtilecfg("SI")
	a.i("MOVQ $64, %s", wStride)
	a.i("XORL %s, %s", flip, flip)
	a.i("ADDQ DI, BX")
	a.broadcast(0xffff0000, 31)
	panel := []string{"DI", "BX"}[:panels]
	parts := ownActSubs / q.subs
	scale, offset := func(j int) int { return j }, func(j int) int { return 2 + j }
	const fresh = 20 // registers of the scales whose sums are not in memory yet

	a.i("CMPQ acc+80(FP), $0")
	a.i("JNE start")
	a.zero(0, 1)
	a.i("MOVQ c+40(FP), DX")
	a.i("MOVQ rows+8(FP), CX")
	a.label("clear")
	for j := range panels {
		a.i("VMOVUPS Z0, %d(DX)", laneBytes*j)
	}
	a.i("ADDQ %s, DX", ldc)
	a.i("DECQ CX")
	a.i("JNZ clear")
	a.label("start")

	products := func(part int, label string) {
		for j, p := range panel {
			if q.bits == 4 {
				a.i("VMOVDQU32 (%s), Z%d", p, fresh+scale(j))
				a.i("VPANDD Z31, Z%d, Z%d", fresh+scale(j), fresh+offset(j))
				a.i("VPSLLD $16, Z%d, Z%d", fresh+scale(j), fresh+scale(j))
			} else {
				a.i("VMOVUPS (%s), Z%d", p, fresh+scale(j))
			}
			a.i("ADDQ $%d, %s", laneBytes, p)
		}
		a.i("LEAQ %d(%s), SI", ownActQ+part*q.subs*ownSub, header)
		a.i("MOVQ %s, R11", lda)
		a.i("SHLQ $4, R11")
		a.i("ADDQ SI, R11")
		a.i("MOVQ $%d, CX", q.subs)
		a.i("CMPQ %s, CX", left)
		a.i("CMOVQLT %s, CX", left)
		a.i("SUBQ CX, %s", left)
		for i := range 2 {
			for j := range panels {
				a.tilezero(sumTile(2, i, j))
			}
		}
		a.label(label)
		for i, r := range []string{"SI", "R11"} {
			a.tileload(mem{0, r, lda, 1}, firstOperand+i, true)
			for j, p := range panel {
				if i == 0 {
					a.tileload(mem{0, p, wStride, 1}, firstOperand+2+j, false)
				}
				a.tdp("TDPBSUD", ppF3, 0x5e, firstOperand+2+j, firstOperand+i, sumTile(2, i, j))
			}
			a.i("ADDQ $%d, %s", ownSub, r)
		}
		for _, p := range panel {
			for line := 0; line < 1024; line += 128 {
				a.i("PREFETCHT0 %d(%s)", 2048+line, p)
			}
			a.i("ADDQ $1024, %s", p)
		}
		a.i("DECQ CX")
		a.i("JNZ %s", label)
	}
	// Sums lie as rows of both panels.
	store := func() {
		a.i("MOVQ scratch+48(FP), R13")
		a.i("ADDQ %s, R13", flip)
		a.i("XORQ $4096, %s", flip)
		for i := range 2 {
			for j := range panels {
				a.tilestore(sumTile(2, i, j), mem{16*2*laneBytes*i + laneBytes*j, "R13", wStride, 2})
			}
		}
		for j := range panels {
			a.i("VMOVAPS Z%d, Z%d", fresh+scale(j), scale(j))
			if q.bits == 4 {
				a.i("VMOVAPS Z%d, Z%d", fresh+offset(j), offset(j))
			}
		}
		a.i("MOVQ %s, %s", header, pending)
	}
	add := func(part int, label string) {
		a.i("MOVQ scratch+48(FP), R13")
		a.i("MOVQ %s, CX", flip)
		a.i("XORQ $4096, CX")
		a.i("ADDQ CX, R13")
		a.i("MOVQ c+40(FP), DX")
		a.i("MOVQ rows+8(FP), CX")
		a.label(label)
		if q.bits == 8 {
			a.i("VPBROADCASTD %d(%s), Z4", ownActBias, pending)
		}
		for j := range panels {
			sum, s, acc := 6+j, 8+j, 10+j
			if q.bits == 8 {
				a.i("VPADDD %d(R13), Z4, Z%d", laneBytes*j, sum)
				a.i("VCVTDQ2PS Z%d, Z%d", sum, sum)
			} else {
				a.i("VCVTDQ2PS %d(R13), Z%d", laneBytes*j, sum)
			}
			a.i("VMOVUPS %d(DX), Z%d", laneBytes*j, acc)
			if q.bits == 4 {
				a.i("VFMADD231PS.BCST %d(%s), Z%d, Z%d", ownActSum+4*part, pending, offset(j), acc)
			}
			a.i("VMULPS.BCST %d(%s), Z%d, Z%d", ownActScale, pending, scale(j), s)
			a.i("VFMADD231PS Z%d, Z%d, Z%d", s, sum, acc)
			a.i("VMOVUPS Z%d, %d(DX)", acc, laneBytes*j)
		}
		a.i("ADDQ %s, %s", lda, pending)
		a.i("ADDQ %s, DX", ldc)
		a.i("ADDQ $%d, R13", 2*laneBytes)
		a.i("DECQ CX")
		a.i("JNZ %s", label)
	}

	products(0, "first")
	store()
	a.label("group")
	for n := range parts {
		last, part := n, (n+1)%parts
		a.i("TESTQ %s, %s", left, left)
		a.i("JZ last%d", last)
		if part == 0 {
			a.i("ADDQ $%d, %s", ownActGroup, header)
		}
		products(part, fmt.Sprintf("products%d", part))
		add(last, fmt.Sprintf("add%d", last))
		store()
	}
	a.i("JMP group")
	for n := range parts {
		a.label(fmt.Sprintf("last%d", n))
		add(n, fmt.Sprintf("end%d", n))
		if n+1 < parts {
			a.i("JMP done")
		}
	}
	a.label("done")
	a.tilerelease()
	a.ret()
}

// amxUnpackI4 writes subs times 64 of k of a panel of I4 as groups of bytes.
func (a *asm) amxUnpackI4() {
	a.fn("unpackI4", "(subs int, dst, src unsafe.Pointer)")
	a.load("subs:CX", "dst:DI", "src:SI")
	a.broadcast(0x0f0f0f0f, 31)
	a.label("group")
	a.i("VMOVDQU32 (SI), Z0")
	a.i("VMOVDQU32 Z0, (DI)")
	a.i("ADDQ $%d, SI", laneBytes)
	a.i("ADDQ $%d, DI", laneBytes)
	a.i("MOVQ $2, DX")
	a.label("sub")
	for g := range 8 {
		a.i("VMOVDQU32 %d(SI), Z0", laneBytes*g)
		a.i("VPSRLD $4, Z0, Z1")
		a.i("VPANDD Z31, Z0, Z0")
		a.i("VPANDD Z31, Z1, Z1")
		a.i("VMOVDQU32 Z0, %d(DI)", laneBytes*g)
		a.i("VMOVDQU32 Z1, %d(DI)", laneBytes*(8+g))
	}
	a.i("ADDQ $%d, SI", 8*laneBytes)
	a.i("ADDQ $%d, DI", 16*laneBytes)
	a.i("DECQ CX")
	a.i("JZ done")
	a.i("DECQ DX")
	a.i("JNZ sub")
	a.i("JMP group")
	a.label("done")
	a.ret()
}

// amxProcessor asks the processor what it has.
func (a *asm) amxProcessor() {
	a.fn("readCPUID", "(out unsafe.Pointer, leaf, sub int)", "readCPUID writes EAX, EBX, ECX and EDX to out.")
	a.load("out:DI", "leaf:AX", "sub:CX")
	a.i("CPUID")
	for i, r := range []string{"AX", "BX", "CX", "DX"} {
		a.i("MOVL %s, %d(DI)", r, 4*i)
	}
	a.i("RET")
	a.text.WriteByte('\n')
	a.fn("readXCR0", "(out unsafe.Pointer)", "readXCR0 writes XCR0 to out.")
	a.load("out:DI")
	a.i("XORL CX, CX")
	a.i("XGETBV")
	a.i("MOVL AX, (DI)")
	a.i("MOVL DX, 4(DI)")
	a.i("RET")
	a.text.WriteByte('\n')
}

// amxTiles is package amx.
func amxTiles() *asm {
	a := newAsm(&amx)
	a.amxProcessor()
	for _, s := range [][2]int{{1, 1}, {1, 2}, {1, 4}, {2, 1}, {2, 2}} {
		a.amxBF16(s[0], s[1])
	}
	for _, q := range ownKinds {
		for panels := 1; panels <= 2; panels++ {
			a.amxInt8(q, panels)
		}
	}
	a.amxUnpackI4()
	return a
}
