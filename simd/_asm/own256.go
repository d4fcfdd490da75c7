package main

import (
	"fmt"
	"math"
)

// Own formats by vectors of 256 bits. Exact tiles of many rows decode and leave the
// rest to F32.

// ownHeader256 reads the scales of the vector's rows at base, and their offsets.
func (a *asm) ownHeader256(q ownKind, base mem, scale, offset int, exact bool) {
	switch {
	case q.bits == 4:
		a.i("VMOVDQU %s, Y%d", base, scale)
		a.i("VPAND %s, Y%d, Y%d", a.constant(0xffff0000, 0), scale, offset)
		a.i("VPSLLD $16, Y%d, Y%d", scale, scale)
	default:
		a.i("VMOVUPS %s, Y%d", base, scale)
		if exact {
			a.i("VMULPS %s, Y%d, Y%d", a.constant(math.Float32bits(-128), 0), scale, offset)
		}
	}
}

// ownWeight256 decodes element k of 64 for vector v into register w, by registers
// scale+v and offset+v.
func (a *asm) ownWeight256(q ownKind, k, v, w, scale, offset int) {
	n := ownSub / q.halves()
	shift := 8*(k%4) + 4*(k/n)
	a.i("VMOVDQU %s, Y%d", at256(laneBytes*(k%n/4), 4, v, 2), w)
	if shift != 0 {
		a.i("VPSRLD $%d, Y%d, Y%d", shift, w, w)
	}
	if shift+q.bits != 32 {
		a.i("VPAND %s, Y%d, Y%d", a.constant(map[int]uint32{8: 0xff, 4: 0x0f}[q.bits], 0), w, w)
	}
	a.i("VCVTDQ2PS Y%d, Y%d", w, w)
	a.i("VFMADD213PS Y%d, Y%d, Y%d", offset+v, scale+v, w)
}

// ownBlocks256 is the loop over n times 64 k, from a group's beginning on: body
// computes them by the scales and offsets in two registers each, and moves on.
func (a *asm) ownBlocks256(q ownKind, stream bool, scale, offset int, body func()) {
	a.label("group")
	if stream {
		a.prefetchStream(laneBytes)
	}
	for v := range 2 {
		a.ownHeader256(q, at256(0, 4, v, 2), scale+v, offset+v, true)
	}
	a.i("ADDQ $%d, %s", laneBytes, panelReg)
	a.ownCount(q.subs)
	a.label("loop")
	if stream {
		a.prefetchStream(q.subBytes())
	}
	body()
	a.i("ADDQ $%d, %s", q.subBytes(), panelReg)
	a.i("DECQ R13")
	a.i("JNZ loop")
	a.i("TESTQ %s, %s", countReg, countReg)
	a.i("JNZ group")
}

// ownExact256 is ownExact.
func (a *asm) ownExact256(q ownKind, mr int) {
	const x, w, offset, scale = 15, 13, 11, 9
	a.beginTile("exact"+q.name, mr, 1)
	a.ownBlocks256(q, mr > 1, scale, offset, func() {
		for k := range ownSub {
			for v := range 2 {
				a.ownWeight256(q, k, v, w+v, scale, offset)
			}
			for m := range mr {
				a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x)
				for v := range 2 {
					a.i("VFMADD231PS Y%d, Y%d, Y%d", w+v, x, mr*v+m)
				}
			}
		}
		a.ownBases(mr, "ADDQ $%d, %s", 4*ownSub)
	})
	a.endTile(mr, 1)
}

// decodeOwn writes n times 64 k as a panel of float32, from a group's beginning on.
func (a *asm) decodeOwn(q ownKind) {
	const scale, offset, w = 0, 2, 4
	a.fn("decode"+q.name, "(n int, w, dst unsafe.Pointer)")
	a.load("n:"+countReg, "w:"+panelReg, "dst:"+cReg)
	a.ownBlocks256(q, true, scale, offset, func() {
		for k := range ownSub {
			for v := range 2 {
				a.ownWeight256(q, k, v, w, scale, offset)
				a.i("VMOVUPS Y%d, %d(%s)", w, laneBytes*k+32*v, cReg)
			}
		}
		a.i("ADDQ $%d, %s", ownSub*laneBytes, cReg)
	})
	a.ret()
}

// ownInt8At256 is ownInt8 by VPMADDUBSW on four bits at a time: a 16-bit sum is of
// 16 products, as in int8Tile256, then it is added to one of 32 bits.
func (a *asm) ownInt8At256(q ownKind, mr int) {
	digits, width := q.bits/4, 2
	const x, low, high, t, walked, header = 15, 14, 13, 12, "R11", "R9"
	if mr > 2 {
		width = 1
		a.beginVectors("int8"+q.name, mr)
	} else {
		a.beginTile("int8"+q.name, mr, 1)
	}
	total := func(m, v int) int { return mr*(width+v) + m }
	sum := func(m, digit int) int { return mr*(2*width+digit) + m }
	ones, sixteens, nibbles := a.constant(0x00010001, 0), a.constant(0x00100010, 0), a.constant(0x0f0f0f0f, 0)
	dot := func(first bool, w, digit, m, to int) {
		if first {
			a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, w, sum(m, digit))
			return
		}
		a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, w, to)
		a.i("VPADDW Y%d, Y%d, Y%d", to, sum(m, digit), sum(m, digit))
	}
	a.label("group")
	for part := range ownActSubs / q.subs {
		for v := range width {
			for m := range mr {
				if q.bits == 8 {
					a.i("VPBROADCASTD %s, Y%d", row(m, ownActBias), total(m, v))
				} else {
					a.zero(total(m, v), 1)
				}
			}
		}
		if mr > 1 {
			a.prefetchStream(laneBytes)
		}
		a.i("MOVQ %s, %s", panelReg, header)
		a.i("ADDQ $%d, %s", laneBytes, panelReg)
		a.ownCount(q.subs)
		at := ownActQ + part*q.subs*ownSub
		a.i("MOVQ R13, %s", walked)
		a.i("SHLQ $6, %s", walked)
		a.i("ADDQ $%d, %s", at, walked)
		a.ownBases(mr, "ADDQ $%d, %s", at)
		loop := fmt.Sprintf("loop%d", part)
		a.label(loop)
		if mr > 1 {
			a.prefetchStream(q.subBytes())
		}
		step := 8 / (3 - digits) // vectors of eight dwords of one digit
		for from := 0; from < q.vectors(); from += step {
			for v := range width {
				for g := from; g < from+step; g++ {
					first := g == from
					a.i("VMOVDQU %s, Y%d", at256(laneBytes*g, 4, v, width), low)
					a.i("VPSRLD $4, Y%d, Y%d", low, high)
					a.i("VPAND %s, Y%d, Y%d", nibbles, low, low)
					a.i("VPAND %s, Y%d, Y%d", nibbles, high, high)
					for m := range mr {
						a.i("VPBROADCASTD %s, Y%d", row(m, 4*g), x)
						if digits == 2 {
							dot(first, low, 0, m, t)
							dot(first, high, 1, m, x)
							continue
						}
						dot(first, low, 0, m, x)
						a.i("VPBROADCASTD %s, Y%d", row(m, ownSub/2+4*g), x)
						dot(false, high, 0, m, x)
					}
				}
				for m := range mr {
					for d, by := range []string{ones, sixteens}[:digits] {
						a.i("VPMADDWD %s, Y%d, Y%d", by, sum(m, d), sum(m, d))
						a.i("VPADDD Y%d, Y%d, Y%d", sum(m, d), total(m, v), total(m, v))
					}
				}
			}
		}
		a.ownBases(mr, "ADDQ $%d, %s", ownSub)
		a.i("ADDQ $%d, %s", q.subBytes(), panelReg)
		a.i("DECQ R13")
		a.i("JNZ %s", loop)
		a.ownBases(mr, "SUBQ %s, %s", walked)
		for v := range width {
			a.ownHeader256(q, mem{disp: 32 * v, base: header}, low, high, false)
			for m := range mr {
				acc, z := mr*v+m, total(m, v)
				if q.bits == 4 {
					a.i("VBROADCASTSS %s, Y%d", row(m, ownActSum+4*part), x)
					a.i("VFMADD231PS Y%d, Y%d, Y%d", x, high, acc)
				}
				a.i("VCVTDQ2PS Y%d, Y%d", z, z)
				a.i("VBROADCASTSS %s, Y%d", row(m, ownActScale), x)
				a.i("VMULPS Y%d, Y%d, Y%d", x, low, x)
				a.i("VFMADD231PS Y%d, Y%d, Y%d", x, z, acc)
			}
		}
		a.i("TESTQ %s, %s", countReg, countReg)
		a.i("JZ done")
	}
	a.ownBases(mr, "ADDQ $%d, %s", ownActGroup)
	a.i("JMP group")
	a.label("done")
	if width == 1 {
		a.endVectors(mr)
	} else {
		a.endTile(mr, 1)
	}
}

// hadamard256 turns n elements, a multiple of 64: three steps between registers,
// three within one by other += ±z.
func (a *asm) hadamard256() {
	a.fn("hadamard", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	eighth := a.constant(math.Float32bits(1.0/8), 0)
	a.label("loop")
	for z := range 8 {
		a.i("VMOVUPS %d(SI), Y%d", 32*z, z)
	}
	for _, h := range []int{4, 2, 1} {
		for u := range 8 {
			if u&h == 0 {
				a.i("VADDPS Y%d, Y%d, Y%d", u+h, u, 8)
				a.i("VSUBPS Y%d, Y%d, Y%d", u+h, u, u+h)
				a.i("VMOVAPS Y8, Y%d", u)
			}
		}
	}
	from := 0
	for _, s := range []struct {
		h     int
		other string
	}{{4, "VPERM2F128 $1, Y%[1]d, Y%[1]d, Y%[2]d"}, {2, "VPERMILPS $0x4e, Y%[1]d, Y%[2]d"}, {1, "VPERMILPS $0xb1, Y%[1]d, Y%[2]d"}} {
		signs := make([]uint32, 8)
		for i := range signs {
			signs[i] = math.Float32bits(1)
			if i&s.h != 0 {
				signs[i] = math.Float32bits(-1)
			}
		}
		by := a.words(fmt.Sprintf("signs%d", s.h), signs)
		to := 8 - from
		for z := range 8 {
			a.i(s.other, from+z, to+z)
			a.i("VFMADD231PS %s, Y%d, Y%d", by, from+z, to+z)
		}
		from = to
	}
	for z := range 8 {
		a.i("VMULPS %s, Y%d, Y%d", eighth, from+z, z)
		a.i("VMOVUPS Y%d, %d(DI)", z, 32*z)
	}
	a.i("ADDQ $%d, SI", 4*laneBytes)
	a.i("ADDQ $%d, DI", 4*laneBytes)
	a.i("SUBQ $64, CX")
	a.i("JNZ loop")
	a.ret()
}

// quantizeOwn256 is quantizeOwn512, 32 elements at a time.
func (a *asm) quantizeOwn256() {
	const magnitude, deal, low, limit, top, scale, factor, total = 15, 11, 14, 13, 12, 10, 9, 8
	a.fn("quantizeOwn", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.broadcast(0x7fffffff, magnitude)
	a.broadcast(0xff, low)
	a.broadcast(math.Float32bits(127), top)
	a.broadcast(math.Float32bits(math.MaxFloat32), limit)
	a.i("VMOVDQU %s, Y%d", a.words("deal", []uint32{0, 4, 1, 5, 2, 6, 3, 7}), deal)
	a.zero(0, 1)
	a.i("MOVQ SI, AX")
	a.i("MOVQ CX, DX")
	a.label("max")
	for z := 1; z <= 4; z++ {
		a.i("VPAND %d(AX), Y%d, Y%d", 32*(z-1), magnitude, z)
		a.i("VPMAXSD Y%d, Y0, Y0", z)
	}
	a.i("ADDQ $128, AX")
	a.i("SUBQ $32, DX")
	a.i("JNZ max")
	a.foldHalf("VPMAXSD", 0, 1)
	a.i("VDIVSS X%d, X0, X%d", top, scale) // max/127
	a.i("VMOVSS X%d, %d(DI)", scale, ownActScale)
	a.i("VDIVSS X0, X%d, X%d", top, factor) // 127/max
	a.i("VMINSS X%d, X%d, X%d", limit, factor, factor)
	a.i("VBROADCASTSS X%d, Y%d", factor, factor)
	a.i("XORL R8, R8") // Σq of all
	a.i("LEAQ %d(DI), BX", ownActQ)
	for part := range 2 { // of 128
		loop, none := fmt.Sprintf("loop%d", part), fmt.Sprintf("none%d", part)
		a.zero(total, 1)
		a.i("MOVQ $4, R9")
		a.i("TESTQ CX, CX")
		a.i("JZ %s", none)
		a.label(loop)
		for z := range 4 {
			a.i("VMULPS %d(SI), Y%d, Y%d", 32*z, factor, z)
			a.i("VCVTPS2DQ Y%d, Y%d", z, z)
			a.i("VPADDD Y%d, Y%d, Y%d", z, total, total)
		}
		a.packBytes(low, deal, "BX", 0)
		a.i("ADDQ $128, SI")
		a.i("ADDQ $32, BX")
		a.i("SUBQ $32, CX")
		a.i("JZ %s", none)
		a.i("DECQ R9")
		a.i("JNZ %s", loop)
		a.label(none)
		a.foldHalf("VPADDD", total, 0)
		a.i("VMOVD X%d, R10", total)
		a.i("ADDL R10, R8")
		a.i("VCVTDQ2PS X%d, X0", total)
		a.i("VMULSS X%d, X0, X0", scale)
		a.i("VMOVSS X0, %d(DI)", ownActSum+4*part)
	}
	a.i("SHLL $7, R8")
	a.i("NEGL R8")
	a.i("MOVL R8, %d(DI)", ownActBias)
	a.ret()
}

// own256 are the tiles of ownKinds and what makes their operands.
func own256() *asm {
	a := newAsm(&avx2)
	var kinds []tileKind
	for _, q := range ownKinds {
		rows := []int{1, 2, 3, 4}
		if q.bits == 8 {
			rows = rows[:3]
		}
		step := ownActSubs / q.subs * (laneBytes + q.subs*q.subBytes())
		kinds = append(kinds,
			tileKind{table: "Exact" + q.name, name: "exact" + q.name, doc: q.exact, rows: []int{1, 2, 3, 4},
				decoder: fmt.Sprintf("5, decode%s, %d, %d", q.name, ownSub, step), decode: func() { a.decodeOwn(q) },
				write: func(mr, _ int) { a.ownExact256(q, mr) }},
			tileKind{table: "Int8" + q.name, name: "int8" + q.name, doc: q.int8, rows: rows,
				write: func(mr, _ int) { a.ownInt8At256(q, mr) }})
	}
	a.kinds(kinds)
	a.hadamard256()
	a.quantizeOwn256()
	a.sumFit()
	return a
}
