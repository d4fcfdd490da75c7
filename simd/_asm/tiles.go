package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A tile computes c[m][lane] for mr rows of activations x and a panel of 16 rows
// of weights, whose row is the lane. Every output is one chain over ascending k,
// so its bits do not depend on mr. Activation rows lie lda bytes apart,
// unpacked; rows of c lie ldc bytes apart. With acc ≠ 0 the chains start from c.

// rowCounts are the mr that exist; any number of rows is a sum of them. Twelve
// rows fill the registers of the int8 tiles; from four on the multiplier is
// busy; three are the query heads that share a key in many models.
var rowCounts = []int{1, 2, 3, 4, 8, 12}

const (
	countReg, panelReg, cReg, ldcReg, ldaReg = "CX", "BX", "DI", "DX", "R12"
	lanes                                    = 16
	laneBytes                                = 4 * lanes
)

var baseRegs = []string{"AX", "R8", "R9", "R10"}

const (
	tileArgs = "(n int, x, w, c unsafe.Pointer, lda, ldc, acc int)"
	wideArgs = "(n int, x, w, c unsafe.Pointer, lda, ldc, acc, next, ahead int)"
)

// wideCounts are the mr of tiles of two panels: fewer than four chains leave the
// multiplier idle.
var wideCounts = []int{1, 2, 3}

// nextReg is how far the second panel lies behind the first; aheadReg moves
// through the memory that a tile of two panels asks for.
const nextReg, aheadReg = "SI", "R11"

// weights is an address in panel p of a tile.
func weights(p, disp int) mem {
	if p == 0 {
		return mem{disp: disp, base: panelReg}
	}
	return mem{disp, panelReg, nextReg, 1}
}

// row addresses byte off of activation row m: three rows share a base register.
func row(m, off int) mem {
	switch m % 3 {
	case 0:
		return mem{disp: off, base: baseRegs[m/3]}
	case 1:
		return mem{off, baseRegs[m/3], ldaReg, 1}
	default:
		return mem{off, baseRegs[m/3], ldaReg, 2}
	}
}

// beginTile begins a function and reads its arguments.
func (a *asm) beginTile(name string, mr, panels int) {
	if panels == 1 {
		a.fn(fmt.Sprintf("%sx%d", name, mr), tileArgs)
	} else {
		a.fn(fmt.Sprintf("%sx%dx2", name, mr), wideArgs)
	}
	a.loadTile()
	if panels == 2 {
		a.i("MOVQ next+56(FP), %s", nextReg)
		a.i("MOVQ ahead+64(FP), %s", aheadReg)
		a.i("ADDQ %s, %s", panelReg, aheadReg)
	}
	a.start(mr, panels*a.parts)
}

// loadTile reads the arguments of a tile; acc is in R13.
func (a *asm) loadTile() {
	a.load("n:"+countReg, "x:AX", "w:"+panelReg, "c:"+cReg, "lda:"+ldaReg, "ldc:"+ldcReg, "acc:R13")
}

// start sets a base register for every three rows and starts the accumulators
// from 0 or from c. That of row m and vector v, of the vectors that the tile
// computes at once, is register mr·v+m.
func (a *asm) start(mr, vectors int) {
	for b := 1; 3*b < mr; b++ {
		a.i("LEAQ (%s)(%s*1), %s", baseRegs[b-1], ldaReg, baseRegs[b])
		a.i("LEAQ (%s)(%s*2), %s", baseRegs[b], ldaReg, baseRegs[b])
	}
	a.zero(0, mr*vectors)
	a.i("TESTQ R13, R13")
	a.i("JZ start")
	a.i("MOVQ %s, R13", cReg)
	for m := range mr {
		for v := range vectors {
			a.i("VMOVUPS %d(R13), @%d", a.bytes()*v, mr*v+m)
		}
		if m+1 < mr {
			a.i("ADDQ %s, R13", ldcReg)
		}
	}
	a.label("start")
}

// prefetchAhead asks for n bytes from off on of both panels ahead.
func (a *asm) prefetchAhead(panels, off, n int) {
	for at := off; panels == 2 && at < off+n; at += laneBytes {
		a.i("PREFETCHT1 %d(%s)", at, aheadReg)
		a.i("PREFETCHT1 %d(%s)(%s*1)", at, aheadReg, nextReg)
	}
}

// streamAhead is how far before its turn a line of weights is asked for where
// several rows multiply it: without that, products and memory take turns. One row
// reads as fast as the processor's own prefetching.
const streamAhead = 8192

// prefetchStream asks for the n bytes of weights that come streamAhead later;
// panels follow one another in memory.
func (a *asm) prefetchStream(n int) {
	for at := 0; at < n; at += laneBytes {
		a.i("PREFETCHT1 %d(%s)", streamAhead+at, panelReg)
	}
}

// next moves on by xBytes in every activation row and by wBytes in the panels,
// counts, and repeats the loop.
func (a *asm) next(mr, panels, xBytes, wBytes, count int) {
	if panels == 2 {
		a.i("ADDQ $%d, %s", wBytes, aheadReg)
	}
	for b := 0; 3*b < mr; b++ {
		a.i("ADDQ $%d, %s", xBytes, baseRegs[b])
	}
	a.i("ADDQ $%d, %s", wBytes, panelReg)
	a.i("SUBQ $%d, %s", count, countReg)
	a.i("JNZ loop")
}

// finish writes the accumulators to c.
func (a *asm) finish(mr, vectors int) {
	for m := range mr {
		for v := range vectors {
			a.i("VMOVUPS @%d, %d(%s)", mr*v+m, a.bytes()*v, cReg)
		}
		if m+1 < mr {
			a.i("ADDQ %s, %s", ldcReg, cReg)
		}
	}
}

// endTile writes the accumulators to c and returns.
func (a *asm) endTile(mr, panels int) {
	a.finish(mr, panels*a.parts)
	a.ret()
}

// temps hands out registers in turn from first to last.
func temps(first, last int) func() int {
	next := first
	return func() int {
		z := next
		if next++; next > last {
			next = first
		}
		return z
	}
}

// floatKind is a panel of floats and how its weights meet the activations.
type floatKind struct {
	name, table    string
	wBytes, xBytes int // of one k: 16 weights, one activation
	doc            []string
}

var floatKinds = []floatKind{
	{"f32", "F32", 64, 4, []string{
		"F32 takes panels [k][16] of float32 and float32 activations:",
		"",
		"\tacc = fma(w[k], x[k], acc)",
	}},
	{"f16", "F16", 32, 4, []string{
		"F16 takes panels [k][16] of binary16 and float32 activations:",
		"",
		"\tacc = fma(float32(w[k]), x[k], acc)",
	}},
	{"bf16", "BF16", 32, 4, []string{
		"BF16 takes panels [k/2][16][2] of bfloat16 and float32 activations:",
		"",
		"\tacc = fma(float32(w[k]), x[k], acc)",
	}},
	{"bf16pairs", "BF16Pairs", 32, 2, []string{
		"BF16Pairs takes the panels of BF16 and bfloat16 activations. On AMD it is, for",
		"even k,",
		"",
		"\tacc = fma(float32(w[k+1]), float32(x[k+1]), acc)",
		"\tacc = fma(float32(w[k]), float32(x[k]), acc)",
		"",
		"where numbers below the normal ones are zeros.",
	}},
}

// wide are the mr of the kind's tiles of two panels. Pairs of bfloat16 have none:
// one row at a time reads memory as fast as it comes. What attention reads lies
// in pieces, and only tiles of two panels are told where the next ones are: they
// have all mr.
func (k floatKind) wide() []int {
	switch k.name {
	case "bf16pairs":
		return nil
	case "f32", "f16":
		return rowCounts
	}
	return wideCounts
}

// floatTile takes n, a multiple of floatSteps, elements of k.
func (a *asm) floatTile(kind floatKind, mr, panels int) {
	const floatSteps, upper = 8, 31
	a.beginTile(kind.name, mr, panels)
	if kind.name == "bf16" {
		a.broadcast(0xffff0000, upper)
	}
	tmp := temps(mr*panels, upper-1)
	fma := func(z, k, p int) {
		for m := range mr {
			a.i("VFMADD231PS.BCST %s, Z%d, Z%d", row(m, 4*k), z, mr*p+m)
		}
	}
	step := 1
	if strings.HasPrefix(kind.name, "bf16") {
		step = 2
	}
	a.label("loop")
	if panels == 1 && mr > 2 && strings.HasPrefix(kind.name, "bf16") { // attention reads the others
		a.prefetchStream(floatSteps * kind.wBytes)
	}
	for k := 0; k < floatSteps; k += step {
		if k*kind.wBytes%laneBytes == 0 {
			a.prefetchAhead(panels, k*kind.wBytes, max(laneBytes, step*kind.wBytes))
		}
		for p := range panels {
			w := weights(p, k*kind.wBytes)
			switch kind.name {
			case "f32":
				z := tmp()
				a.i("VMOVUPS %s, Z%d", w, z)
				fma(z, k, p)
			case "f16":
				z := tmp()
				a.i("VCVTPH2PS %s, Z%d", w, z)
				fma(z, k, p)
			case "bf16":
				odd, even := tmp(), tmp()
				a.i("VMOVDQU32 %s, Z%d", w, odd)
				a.i("VPSLLD $16, Z%d, Z%d", odd, even)
				a.i("VPANDD Z%d, Z%d, Z%d", upper, odd, odd)
				fma(even, k, p)
				fma(odd, k+1, p)
			case "bf16pairs":
				z := tmp()
				a.i("VMOVDQU32 %s, Z%d", w, z)
				for m := range mr {
					a.vdpbf16ps(row(m, 2*k), z, mr*p+m)
				}
			}
		}
	}
	a.next(mr, panels, floatSteps*kind.xBytes, floatSteps*kind.wBytes, floatSteps)
	a.endTile(mr, panels)
}

// quant describes a panel of blocks of 32 k: a header of 16 f16 scales (and 16
// f16 minima), then dwords of four q for each of the 16 rows.
type quant struct {
	name   string
	header int     // bytes
	bits   int     // of a q
	mask   uint32  // of a q in a dword's low bits
	bias   float32 // a weight is (q - bias)·scale
	minima bool    // or q·scale + minimum
}

var quants = []quant{
	{"Q8_0", 32, 8, 0xff, 128, false},
	{"Q4_0", 32, 4, 0x0f, 8, false},
	{"Q4_1", 64, 4, 0x0f, 0, true},
}

// docs are the comments of the tables of both tiles.
func (q quant) docs() (exact, int8 []string) {
	n := strconv.Itoa(int(q.bias))
	weight, sum := "fma(q[k], d, -"+n+"*d)", "sum := Σ (q[k]-"+n+") * x.q[k] // exact, over the block"
	if q.minima {
		weight, sum = "fma(q[k], d, m)", "sum := Σ q[k] * x.q[k] // exact, over the block"
	}
	exact = []string{"Exact" + q.name + " takes panels of " + q.name + " and float32 activations:", "", "\tacc = fma(" + weight + ", x[k], acc)"}
	int8 = []string{"Int8" + q.name + " takes panels of " + q.name + " and int8 activations; for each block of 32:", "", "\t" + sum}
	if q.minima {
		int8 = append(int8, "\tacc = fma(m, x.sum, acc)")
	}
	return exact, append(int8, "\tacc = fma(d*x.scale, float32(sum), acc)")
}

func (q quant) halves() int     { return 8 / q.bits }
func (q quant) groups() int     { return 8 / q.halves() }
func (q quant) blockBytes() int { return q.header + q.groups()*laneBytes }

// exactTile decodes each weight to float32, w = fma(q, scale, offset), and
// multiplies n blocks of float32 activations.
func (a *asm) exactTile(q quant, mr, panels int) {
	a.beginTile("exact"+q.name, mr, panels)
	const mask, neg, first = 31, 30, 26
	scale, offset := func(p int) int { return 29 - 2*p }, func(p int) int { return 28 - 2*p }
	a.broadcast(q.mask, mask)
	if !q.minima {
		a.broadcast(math.Float32bits(-q.bias), neg)
	}
	tmp := temps(mr*panels, first-1)
	a.label("loop")
	for p := range panels {
		a.i("VCVTPH2PS %s, Z%d", weights(p, 0), scale(p))
		if q.minima {
			a.i("VCVTPH2PS %s, Z%d", weights(p, 32), offset(p))
		} else {
			a.i("VMULPS Z%d, Z%d, Z%d", neg, scale(p), offset(p))
		}
	}
	if panels == 1 && mr > 1 {
		a.prefetchStream(q.blockBytes())
	}
	a.prefetchAhead(panels, laneBytes*q.groups(), q.blockBytes()-laneBytes*q.groups())
	k := 0
	for h := range q.halves() {
		for g := range q.groups() {
			if h == 0 {
				a.prefetchAhead(panels, laneBytes*g, laneBytes)
			}
			for i := range 4 {
				for p := range panels {
					z, shift := tmp(), 8*i+4*h
					w := weights(p, q.header+laneBytes*g)
					switch {
					case shift == 0:
						a.i("VPANDD %s, Z%d, Z%d", w, mask, z)
					case shift+q.bits == 32:
						a.i("VPSRLD $%d, %s, Z%d", shift, w, z)
					default:
						a.i("VPSRLD $%d, %s, Z%d", shift, w, z)
						a.i("VPANDD Z%d, Z%d, Z%d", z, mask, z)
					}
					a.i("VCVTDQ2PS Z%d, Z%d", z, z)
					a.i("VFMADD213PS Z%d, Z%d, Z%d", offset(p), scale(p), z)
					for m := range mr {
						a.i("VFMADD231PS.BCST %s, Z%d, Z%d", row(m, 4*k), z, mr*p+m)
					}
				}
				k++
			}
		}
	}
	a.next(mr, panels, 32*4, q.blockBytes(), 1)
	a.endTile(mr, panels)
}

// Activation blocks of the int8 tiles: a float32 scale, then int32 -bias·Σq (or
// float32 scale·Σq where the weights have minima), then 32 int8.
const (
	actScale, actSum, actQ = 0, 4, 8
	actBlock               = 40
)

// int8Tile multiplies n blocks of int8 activations: the products of a block are
// summed exactly.
func (a *asm) int8Tile(q quant, mr int) {
	a.beginTile("int8"+q.name, mr, 1)
	const mask, scale = 31, 30
	if q.bits == 4 {
		a.broadcast(0x0f0f0f0f, mask)
	}
	sum := func(m int) int { return mr + m }
	tmp := temps(2*mr, scale-1)
	a.label("loop")
	for m := range mr {
		if q.minima {
			a.i("VPXORD Z%d, Z%d, Z%d", sum(m), sum(m), sum(m))
		} else {
			a.i("VPBROADCASTD %s, Z%d", row(m, actSum), sum(m))
		}
	}
	dot := func(z, k int) {
		for m := range mr {
			a.i("VPDPBUSD.BCST %s, Z%d, Z%d", row(m, actQ+k), z, sum(m))
		}
	}
	if mr > 1 {
		a.prefetchStream(q.blockBytes())
	}
	for g := range q.groups() {
		w := mem{disp: q.header + laneBytes*g, base: panelReg}
		z := tmp()
		a.i("VMOVDQU32 %s, Z%d", w, z)
		if q.bits == 8 {
			dot(z, 4*g)
			continue
		}
		high := tmp()
		a.i("VPSRLD $4, Z%d, Z%d", z, high)
		a.i("VPANDD Z%d, Z%d, Z%d", mask, z, z)
		a.i("VPANDD Z%d, Z%d, Z%d", mask, high, high)
		dot(z, 4*g)
		dot(high, 16+4*g)
	}
	if q.minima {
		z := tmp()
		a.i("VCVTPH2PS 32(%s), Z%d", panelReg, z)
		for m := range mr {
			a.i("VFMADD231PS.BCST %s, Z%d, Z%d", row(m, actSum), z, m)
		}
	}
	a.i("VCVTPH2PS (%s), Z%d", panelReg, scale)
	for m := range mr {
		z := tmp()
		a.i("VCVTDQ2PS Z%d, Z%d", sum(m), sum(m))
		a.i("VMULPS.BCST %s, Z%d, Z%d", row(m, actScale), scale, z)
		a.i("VFMADD231PS Z%d, Z%d, Z%d", z, sum(m), m)
	}
	a.next(mr, 1, actBlock, q.blockBytes(), 1)
	a.endTile(mr, 1)
}

// table writes the Go tables of a kind by the number of rows: of its tiles and,
// where there are any, of its tiles of two panels.
func (a *asm) table(k tileKind) {
	for _, line := range k.doc {
		a.stubs.WriteString(strings.TrimRight("// "+line, " ") + "\n")
	}
	tiles := func(rows []int, suffix string) string {
		entries := make([]string, len(rows))
		for i, mr := range rows {
			entries[i] = fmt.Sprintf("%d: %sx%d%s", mr, k.name, mr, suffix)
		}
		return "{" + strings.Join(entries, ", ") + "}"
	}
	if k.decode != nil {
		fmt.Fprintf(&a.stubs, "var %s = Decoded{Tiles%s, %s}\n\n", k.table, tiles(k.rows, ""), k.decoder)
	} else {
		fmt.Fprintf(&a.stubs, "var %s = Tiles%s\n\n", k.table, tiles(k.rows, ""))
	}
	if k.wide != nil {
		fmt.Fprintf(&a.stubs, "// %sWide are the tiles of %s for two panels.\nvar %sWide = WideTiles%s\n\n", k.table, k.table, k.table, tiles(k.wide, "x2"))
	}
}
