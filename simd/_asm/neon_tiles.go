package main

import (
	"fmt"
	"strings"
)

// The tiles of package neon compute what those of avx512 do, from the same
// panels: a row of 16 lanes is 4 registers.

const (
	neonCount, neonPanel, neonC, neonLdc, neonLda = "R0", "R5", "R6", "R8", "R7"
	quads                                         = 4 // registers of a row
)

// neonX are the pointers to activation rows.
var neonX = []string{"R1", "R2", "R3", "R4"}

// accs are the accumulators of row m.
func accs(m int) []v { return run(v(quads*m), quads) }

// beginTile begins a function, reads its arguments, points at every row and starts
// the accumulators from 0 or from c.
func (a neon) beginTile(name string, mr int) {
	a.fn(fmt.Sprintf("%sx%d", name, mr), tileArgs)
	a.args("n:"+neonCount, "x:"+neonX[0], "w:"+neonPanel, "c:"+neonC, "lda:"+neonLda, "ldc:"+neonLdc, "acc:R9")
	for m := 1; m < mr; m++ {
		a.i("ADD %s, %s, %s", neonLda, neonX[m-1], neonX[m])
	}
	for m := range mr {
		for _, r := range accs(m) {
			a.clear(r)
		}
	}
	a.i("CBZ R9, start")
	a.i("MOVD %s, R9", neonC)
	for m := range mr {
		a.load(0, "R9", accs(m)...)
		if m+1 < mr {
			a.i("ADD %s, R9", neonLdc)
		}
	}
	a.label("start")
}

// next moves on by xBytes in every activation row and by wBytes in the panel,
// counts, and repeats the loop.
func (a neon) next(mr, xBytes, wBytes, count int) {
	for m := range mr {
		a.i("ADD $%d, %s", xBytes, neonX[m])
	}
	a.i("ADD $%d, %s", wBytes, neonPanel)
	a.i("SUBS $%d, %s", count, neonCount)
	a.i("BNE loop")
}

// endTile writes the accumulators to c and returns.
func (a neon) endTile(mr int) {
	for m := range mr {
		a.store(0, neonC, accs(m)...)
		if m+1 < mr {
			a.i("ADD %s, %s", neonLdc, neonC)
		}
	}
	a.end()
}

// weights reads k and, of bf16, k+1 of a float panel, at off(panel), into registers
// of tmp, 4 for each k.
func (a neon) weights(kind string, off int, panel string, tmp func() v, upper v) [][]v {
	take := func() []v { return []v{tmp(), tmp(), tmp(), tmp()} }
	w := take()
	switch kind {
	case "f32":
		a.load(off, panel, w...)
		return [][]v{w}
	case "f16":
		a.load(off, panel, w[1], w[3])
		a.to("fcvtl", w[0], w[1])
		a.to("fcvtl2", w[1], w[1])
		a.to("fcvtl", w[2], w[3])
		a.to("fcvtl2", w[3], w[3])
		return [][]v{w}
	}
	odd := take()
	a.load(off, panel, odd...)
	for i := range quads {
		a.shift("shl", "4s", w[i], odd[i], 16)
		a.op("and", "16b", odd[i], odd[i], upper)
	}
	return [][]v{w, odd}
}

// neonSteps is what n of a float tile is a multiple of.
const neonSteps = 8

// floatTile takes n, a multiple of 8, elements of k.
func (a neon) floatTile(kind floatKind, mr int) {
	const upper = 31
	a.beginTile(kind.name, mr)
	if kind.name == "bf16" {
		a.broadcast(0xffff0000, upper)
	}
	a.label("loop")
	x := run(v(quads*mr), mr)
	tmp := ring(x[mr-1]+1, upper-1)
	for k := 0; k < neonSteps; {
		if k%4 == 0 {
			for m := range mr {
				a.load(4*k, neonX[m], x[m])
			}
		}
		for _, w := range a.weights(kind.name, k*kind.wBytes, neonPanel, tmp, upper) {
			for m := range mr {
				for i, acc := range accs(m) {
					a.by("fmla", acc, w[i], x[m], k%4)
				}
			}
			k++
		}
	}
	a.next(mr, neonSteps*4, neonSteps*kind.wBytes, neonSteps)
	a.endTile(mr)
}

// neonWide are the rows of tiles of two panels: with one panel four or eight chains
// do not keep the multipliers busy.
var neonWide = []int{1, 2}

// floatWide is floatTile on two panels, the second next bytes after the first; its
// results follow in c. It asks for what lies ahead bytes after each.
func (a neon) floatWide(kind floatKind, mr int) {
	const second, ahead, behind = "R10", "R11", "R12"
	const upper = 31
	a.fn(fmt.Sprintf("%sx%dx2", kind.name, mr), wideArgs)
	a.args("n:"+neonCount, "x:"+neonX[0], "w:"+neonPanel, "c:"+neonC, "lda:"+neonLda, "ldc:"+neonLdc, "acc:R9",
		"next:"+second, "ahead:"+ahead)
	a.i("ADD %s, %s", neonPanel, second)
	a.i("ADD %s, %s, %s", ahead, second, behind)
	a.i("ADD %s, %s", neonPanel, ahead)
	for m := 1; m < mr; m++ {
		a.i("ADD %s, %s, %s", neonLda, neonX[m-1], neonX[m])
	}
	both := func(m int) []v { return run(v(2*quads*m), 2*quads) }
	for r := range v(2 * quads * mr) {
		a.clear(r)
	}
	a.i("CBZ R9, start")
	a.i("MOVD %s, R9", neonC)
	for m := range mr {
		a.load(0, "R9", both(m)...)
		if m+1 < mr {
			a.i("ADD %s, R9", neonLdc)
		}
	}
	a.label("start")
	if kind.name == "bf16" {
		a.broadcast(0xffff0000, upper)
	}
	x := run(v(2*quads*mr), mr)
	tmp := ring(x[mr-1]+1, upper-1)
	a.label("loop")
	for line := 0; line < neonSteps*kind.wBytes; line += laneBytes {
		for _, r := range []string{ahead, behind} {
			a.i("PRFM %d(%s), PLDL2KEEP", line, r)
		}
	}
	for k := 0; k < neonSteps; {
		if k%4 == 0 {
			for m := range mr {
				a.load(4*k, neonX[m], x[m])
			}
		}
		steps := 0
		for p, panel := range []string{neonPanel, second} {
			w := a.weights(kind.name, k*kind.wBytes, panel, tmp, upper)
			steps = len(w)
			for s := range w {
				for m := range mr {
					for i, acc := range both(m)[quads*p:][:quads] {
						a.by("fmla", acc, w[s][i], x[m], (k+s)%4)
					}
				}
			}
		}
		k += steps
	}
	for _, r := range []string{second, ahead, behind} {
		a.i("ADD $%d, %s", neonSteps*kind.wBytes, r)
	}
	a.next(mr, neonSteps*4, neonSteps*kind.wBytes, neonSteps)
	for m := range mr {
		a.store(0, neonC, both(m)...)
		if m+1 < mr {
			a.i("ADD %s, %s", neonLdc, neonC)
		}
	}
	a.end()
}

const decodeArgs = "(n int, w, dst unsafe.Pointer)"

// beginDecode begins a function that widens a panel to float32.
func (a neon) beginDecode(name string) {
	a.fn("decode"+name, decodeArgs)
	a.args("n:"+neonCount, "w:"+neonPanel, "dst:"+neonC)
}

func (a neon) endDecode(kBytes, wBytes, count int) {
	a.i("ADD $%d, %s", kBytes, neonC)
	a.i("ADD $%d, %s", wBytes, neonPanel)
	a.i("SUBS $%d, %s", count, neonCount)
	a.i("BNE loop")
	a.end()
}

func (a neon) floatDecode(kind floatKind) {
	const upper = 31
	a.beginDecode(kind.name)
	if kind.name == "bf16" {
		a.broadcast(0xffff0000, upper)
	}
	a.label("loop")
	tmp := ring(0, upper-1)
	for k := 0; k < neonSteps; {
		for _, w := range a.weights(kind.name, k*kind.wBytes, neonPanel, tmp, upper) {
			a.store(k*laneBytes, neonC, w...)
			k++
		}
	}
	a.endDecode(neonSteps*laneBytes, neonSteps*kind.wBytes, neonSteps)
}

// Registers of the exact tiles beside accumulators and activations: dwords of the
// panel, decoded weights, masks of a q at byte i of a dword, the scales, and what
// is added to a scaled q.
const (
	exactX, exactDwords, exactW, exactTemp v = 8, 10, 14, 18
	exactMasks, exactScales, exactOffsets  v = 20, 24, 28
)

// exactRows are the row counts of exact tiles. More rows are multiplied with the
// weights as float32: decoding takes longer than a few products.
var exactRows = []int{1, 2}

// exactMask sets the masks.
func (a neon) exactMask(q quant) {
	for i := range 4 {
		a.broadcast(q.mask<<(8*i), exactMasks+v(i))
	}
}

// exactBlock decodes a block and gives emit the 4 registers of each k:
// w = fma(q, scale, offset). A q is converted where it lies in its dword, as a
// fixed-point number.
func (a neon) exactBlock(q quant, emit func(k int, w []v)) {
	for i := range v(quads) {
		a.halves(8*int(i), neonPanel, exactScales+i)
		if q.minima {
			a.halves(32+8*int(i), neonPanel, exactOffsets+i)
		}
	}
	if !q.minima {
		a.constant(-q.bias, exactTemp)
		for i := range v(quads) {
			a.op("fmul", "4s", exactOffsets+i, exactScales+i, exactTemp)
		}
	}
	for h := range q.halves() {
		for g := range q.groups() {
			a.load(q.header+laneBytes*g, neonPanel, run(exactDwords, quads)...)
			if h > 0 {
				for i := range v(quads) {
					a.shift("ushr", "4s", exactDwords+i, exactDwords+i, 4)
				}
			}
			for i := range 4 {
				for j := range v(quads) {
					t := exactTemp + j%2
					a.op("and", "16b", t, exactDwords+j, exactMasks+v(i))
					a.ucvtf(t, t, 8*i)
					a.mov(exactW+j, exactOffsets+j)
					a.op("fmla", "4s", exactW+j, t, exactScales+j)
				}
				emit(16*h+4*g+i, run(exactW, quads))
			}
		}
	}
}

// exactTile decodes each weight to float32 and multiplies n blocks of float32
// activations.
func (a neon) exactTile(q quant, mr int) {
	a.beginTile("exact"+q.name, mr)
	a.exactMask(q)
	a.label("loop")
	a.exactBlock(q, func(k int, w []v) {
		for m := range mr {
			if k%4 == 0 {
				a.load(4*k, neonX[m], exactX+v(m))
			}
			for i, acc := range accs(m) {
				a.by("fmla", acc, w[i], exactX+v(m), k%4)
			}
		}
	})
	a.next(mr, 32*4, q.blockBytes(), 1)
	a.endTile(mr)
}

// blockDecode widens n blocks.
func (a neon) blockDecode(q quant) {
	a.beginDecode(q.name)
	a.exactMask(q)
	a.label("loop")
	a.exactBlock(q, func(k int, w []v) { a.store(k*laneBytes, neonC, w...) })
	a.endDecode(32*laneBytes, q.blockBytes(), 1)
}

// int8Rows are the row counts of the int8 tiles with dot products: three rows of
// sums and of accumulators leave eight registers.
var int8Rows = []int{1, 2, 3}

// qs prepares the q of dwords in d for half h of the block: signed, or, with
// usdot, as they are. of 4 bits are never negative.
func (a neon) qs(q quant, dot string, h int, d, constant v) {
	switch {
	case q.bits == 4 && h == 0:
		a.op("and", "16b", d, d, constant)
	case q.bits == 4:
		a.shift("ushr", "16b", d, d, 4)
	case dot != "usdot":
		a.op("eor", "16b", d, d, constant)
	}
}

// int8Constant sets what qs needs.
func (a neon) int8Constant(q quant, dot string, d v) {
	switch {
	case q.bits == 4:
		a.broadcast(0x0f0f0f0f, d)
	case dot != "usdot":
		a.broadcast(0x80808080, d)
	}
}

// group is where the four k of a half's group g lie in a block.
func (q quant) group(h, g int) int {
	if q.bits == 8 {
		g += 4 * h
	}
	return q.header + laneBytes*g
}

// biased tells whether the sum of the activations belongs to a block's sum: q are
// then too large by the bias.
func (q quant) biased(dot string) bool { return !q.minima && (q.bits == 4 || dot == "usdot") }

// dotTile multiplies n blocks of int8 activations by SDOT or USDOT: the products
// of a block are summed exactly.
func (a neon) dotTile(q quant, dot string, mr int) {
	a.beginTile(dot+q.name, mr)
	const constant = 31
	a.int8Constant(q, dot, constant)
	sums := func(m int) []v { return run(v(quads*(mr+m)), quads) }
	x := run(v(2*quads*mr), mr)
	tmp := ring(x[mr-1]+1, constant-1)
	a.label("loop")
	for m := range mr {
		if q.biased(dot) {
			a.i("FMOVD %d(%s), F%d", actScale, neonX[m], x[m])
		}
		for _, s := range sums(m) {
			if q.biased(dot) {
				a.dup(s, x[m], 1)
			} else {
				a.clear(s)
			}
		}
	}
	for h := range 2 {
		for m := range mr {
			// Blocks begin at multiples of 8 bytes.
			a.i("FMOVQ %d(%s), F%d", actQ+16*h, neonX[m], x[m])
		}
		for g := range 4 {
			for j := range quads {
				d := tmp()
				a.load(q.group(h, g)+16*j, neonPanel, d)
				a.qs(q, dot, h, d, constant)
				for m := range mr {
					a.by(dot, sums(m)[j], d, x[m], g)
				}
			}
		}
	}
	a.int8Scales(q, mr, sums, x, tmp)
	a.next(mr, actBlock, q.blockBytes(), 1)
	a.endTile(mr)
}

// int8Scales adds the scaled sums of a block.
func (a neon) int8Scales(q quant, mr int, sums func(int) []v, x []v, tmp func() v) {
	for m := range mr {
		a.i("FMOVD %d(%s), F%d", actScale, neonX[m], x[m])
	}
	for j := range quads {
		if q.minima {
			t := tmp()
			a.halves(32+8*j, neonPanel, t)
			for m := range mr {
				a.by("fmla", accs(m)[j], t, x[m], 1)
			}
		}
		d := tmp()
		a.halves(8*j, neonPanel, d)
		for m := range mr {
			z, s := tmp(), sums(m)[j]
			a.by("fmul", z, d, x[m], 0)
			a.to("scvtf", s, s)
			a.op("fmla", "4s", accs(m)[j], z, s)
		}
	}
}

// mullTile is dotTile of one row for processors without dot products: products
// of 16 bits, two of which never overflow, are added in pairs.
func (a neon) mullTile(q quant) {
	const dot, mr = "mull", 1
	const x, constant, product, other v = 12, 31, 30, 29
	a.beginTile(dot+q.name, mr)
	a.int8Constant(q, dot, constant)
	sums := run(4, 2*quads) // of lanes 0 and 1, of 2 and 3, each in two
	tmp := ring(x+1, other-1)
	a.label("loop")
	for _, s := range sums {
		a.clear(s)
	}
	for h := range 2 {
		a.i("FMOVQ %d(%s), F%d", actQ+16*h, neonX[0], x)
		for g := 0; g < 4; g += 2 {
			x0, x1 := tmp(), tmp()
			a.dup(x0, x, g)
			a.dup(x1, x, g+1)
			for j := range quads {
				d0, d1 := tmp(), tmp()
				if d0 == x0 || d0 == x1 || d1 == x0 || d1 == x1 {
					panic("mullTile: too few registers")
				}
				a.load(q.group(h, g)+16*j, neonPanel, d0)
				a.load(q.group(h, g+1)+16*j, neonPanel, d1)
				a.qs(q, dot, h, d0, constant)
				a.qs(q, dot, h, d1, constant)
				a.wide("smull", product, d0, x0)
				a.wide("smull2", other, d0, x0)
				a.wide("smlal", product, d1, x1)
				a.wide("smlal2", other, d1, x1)
				a.to("sadalp", sums[2*j], product)
				a.to("sadalp", sums[2*j+1], other)
			}
		}
	}
	if q.biased(dot) {
		a.i("FMOVD %d(%s), F%d", actScale, neonX[0], x)
		a.dup(x+1, x, 1)
	}
	total := run(4, quads)
	for j := range quads {
		a.op("addp", "4s", total[j], sums[2*j], sums[2*j+1])
		if q.biased(dot) {
			a.op("add", "4s", total[j], total[j], x+1)
		}
	}
	a.int8Scales(q, mr, func(int) []v { return total }, run(x, 1), ring(x+1, other-1))
	a.next(mr, actBlock, q.blockBytes(), 1)
	a.endTile(mr)
}

// neonTable writes a Go table of tiles by the number of rows. bytes are those of
// a panel that n counts as one; decode is what widens a panel for more than rows
// rows.
func (a neon) neonTable(table, name string, rows []int, decode string, per, bytes int, doc []string) {
	for _, line := range doc {
		a.stubs.WriteString(strings.TrimRight("// "+line, " ") + "\n")
	}
	fmt.Fprintf(&a.stubs, "var %s = Tiles{", table)
	if decode != "" {
		fmt.Fprintf(&a.stubs, "decode: decode%s, per: %d, bytes: %d, ", decode, per, bytes)
	}
	a.stubs.WriteString("tiles: []Tile{")
	for i, mr := range rows {
		if i > 0 {
			a.stubs.WriteString(", ")
		}
		fmt.Fprintf(&a.stubs, "%sx%d", name, mr)
	}
	a.stubs.WriteString("}}\n\n")
}

// neonTiles are the tiles of every weight type and row count, what widens panels,
// and tables of them.
func neonTiles() *asm {
	a := newNeon("neon")
	rows := []int{1, 2, 3, 4}
	kinds := floatKinds[:3] // bf16pairs has an order of its own
	for _, k := range kinds {
		for _, mr := range rows {
			a.floatTile(k, mr)
		}
		for _, mr := range neonWide {
			a.floatWide(k, mr)
		}
		if k.name != "f32" {
			a.floatDecode(k)
		}
	}
	for _, q := range quants {
		for _, mr := range exactRows {
			a.exactTile(q, mr)
		}
		a.blockDecode(q)
		for _, mr := range int8Rows {
			a.dotTile(q, "sdot", mr)
			if q.bits == 8 {
				a.dotTile(q, "usdot", mr)
			}
		}
		a.mullTile(q)
	}
	for _, k := range kinds {
		decode := k.name
		if k.name == "f32" {
			decode = ""
		}
		a.neonTable(k.table, k.name, rows, decode, 1, k.wBytes, k.doc)
		fmt.Fprintf(&a.stubs, "// %sWide is %s on two panels.\nvar %sWide = WideTiles{%sx1x2, %sx2x2}\n\n",
			k.table, k.table, k.table, k.name, k.name)
	}
	for _, q := range quants {
		exact, int8 := q.docs()
		a.neonTable("Exact"+q.name, "exact"+q.name, exactRows, q.name, 32, q.blockBytes(), exact)
		add := func(dot, table, with string) {
			doc := append([]string{table + q.name + int8[0][len("Int8"+q.name):]}, int8[1:]...)
			a.neonTable(table+q.name, dot+q.name, int8Rows, "", 0, 0, append(doc, "", with))
		}
		add("sdot", "Int8", "It needs dot products (SDOT).")
		if q.bits == 8 {
			add("usdot", "Mixed", "It needs mixed dot products (USDOT of I8MM), which take q as they are.")
		}
		doc := append([]string{"Mull" + q.name + int8[0][len("Int8"+q.name):]}, int8[1:]...)
		a.neonTable("Mull"+q.name, "mull"+q.name, []int{1}, "", 0, 0, append(doc, "", "It needs nothing (SMULL)."))
	}
	return a.asm
}
