package main

import "fmt"

// K-quants of 128 bits: a quarter of the panel's lanes after the other, so that a
// block's sub-scales and eight unpacked dwords of q stay in registers. Exact tiles
// decode and leave the rest to F32.

// Registers: dwords of q, accumulators, masks, temporary ones, then eight scales
// and eight minima below zero of a block, or sixteen scales.
const (
	nkQ, nkAcc, nkLow, nkHigh, nkX v = 0, 8, 10, 11, 12
	nkTemp, nkMore, nkScale        v = 14, 15, 16
	// nkQuarter is 16 times the quarter, nkDwords and nkHalves are where the
	// block's words of 32 and of 16 bits of that quarter begin.
	nkQuarter, nkDwords, nkHalves = "R10", "R11", "R12"
)

// nkRows are the row counts of the tiles: registers are left for two chains.
var nkRows = []int{1, 2}

// words reads dword w behind a block's first off bytes.
func (a neon) words(off, w int, d v) { a.load(off+w*laneBytes, nkDwords, d) }

// byteFloat is d = float32 of byte i of the dwords of n; mask has ones there.
func (a neon) byteFloat(d, n, mask v, i int) {
	a.op("and", "16b", d, n, mask)
	a.ucvtf(d, d, 8*i)
}

// nkMasks sets the masks of unpacking.
func (a neon) nkMasks(q kquant) {
	a.broadcast(0x0f0f0f0f, nkLow)
	switch q.bits {
	case 5:
		a.broadcast(0x10101010, nkHigh)
	case 6:
		a.broadcast(0x30303030, nkHigh)
	}
}

// subScales sets a block's scales and offsets; it uses all registers but the
// accumulators and masks.
func (a neon) subScales(q kquant) {
	const d, dmin, w, high, rest, t v = 0, 1, 2, 3, nkX, nkX + 1
	a.halves(0, nkHalves, d)
	switch {
	case !q.super:
		a.mov(nkScale, d)
		if q.minima {
			a.halves(32, nkHalves, nkScale+1)
		}
		return
	case q.bits == 6:
		for i := range 4 {
			a.words(32, i, w)
			for b := range 4 {
				s := nkScale + v(4*i+b)
				if b < 3 {
					a.shift("shl", "4s", t, w, 24-8*b)
					a.shift("sshr", "4s", t, t, 24)
				} else {
					a.shift("sshr", "4s", t, w, 24)
				}
				a.to("scvtf", t, t)
				a.op("fmul", "4s", s, t, d)
			}
		}
		return
	}
	const bytes v = 4 // four masks
	for i := range 4 {
		a.broadcast(0xff<<(8*i), bytes+v(i))
	}
	a.halves(32, nkHalves, dmin)
	a.to("fneg", dmin, dmin)
	for i, by := range []v{d, dmin} {
		a.words(64, i, w)
		a.shift("ushr", "4s", high, w, 2)
		a.broadcast(0x30303030, t)
		a.op("and", "16b", high, high, t)
		a.broadcast(0x3f3f3f3f, t)
		a.op("and", "16b", w, w, t)
		a.words(64, 2, rest)
		if i == 0 {
			a.op("and", "16b", rest, rest, nkLow)
		} else {
			a.shift("ushr", "16b", rest, rest, 4)
		}
		a.op("orr", "16b", high, high, rest)
		for s := range 8 {
			from := w
			if s >= 4 {
				from = high
			}
			a.byteFloat(t, from, bytes+v(s%4), s%4)
			a.op("fmul", "4s", nkScale+v(8*i+s), t, by)
		}
	}
}

// dword unpacks k 4e … 4e+3 of sub-block sub of the block.
func (a neon) dword(q kquant, sub, e int, z, t v) {
	off := q.headBytes() + sub/2*q.chunkBytes()
	nibble, at := sub%2, e
	if !q.super {
		nibble, at = e/4, e%4
	}
	a.words(off+q.nibbles(), at, z)
	if nibble == 0 {
		a.op("and", "16b", z, z, nkLow)
	} else {
		a.shift("ushr", "16b", z, z, 4)
	}
	if q.bits == 4 {
		return
	}
	word, shift := sub%2, e-4 // to bit 4
	if q.bits == 6 {
		word, shift = 2*(sub%2)+e/4, 2*(e%4)-4
	}
	a.words(off, word, t)
	switch {
	case shift < 0:
		a.shift("shl", "4s", t, t, -shift)
	case shift > 0:
		a.shift("ushr", "4s", t, t, shift)
	}
	a.op("and", "16b", t, t, nkHigh)
	a.op("orr", "16b", z, z, t)
}

// blockBytes is the size of a block of 16 rows, subBlocks what it has of 32 k.
func (q kquant) blockBytes() int { return q.headBytes() + q.subBlocks()/q.subs()*q.chunkBytes() }

func (q kquant) subBlocks() int {
	if q.super {
		return 8
	}
	return 1
}

// scaleOf is the scale of k from 4e on, and the offset of minima.
func (q kquant) scaleOf(sub, e int) (scale, offset v) {
	switch {
	case q.bits == 6:
		return nkScale + v(2*sub+e/4), 0
	case !q.super:
		return nkScale, nkScale + 1
	}
	return nkScale + v(sub), nkScale + 8 + v(sub)
}

// quarters repeats body for each quarter of the lanes.
func (a neon) quarters(body func()) {
	a.i("MOVD $0, %s", nkQuarter)
	a.label("quarter")
	body()
	a.i("ADD $16, %s", nkQuarter)
	a.i("CMP $64, %s", nkQuarter)
	a.i("BLT quarter")
	a.end()
}

// nkPanel points into the panel.
func (a neon) nkPanel() {
	a.i("ADD %s, %s, %s", nkQuarter, neonPanel, nkDwords)
	a.i("ADD %s>>1, %s, %s", nkQuarter, neonPanel, nkHalves)
}

func (a neon) nkNext(q kquant) {
	a.i("ADD $%d, %s", q.blockBytes(), nkDwords)
	a.i("ADD $%d, %s", q.blockBytes(), nkHalves)
	a.i("SUBS $1, %s", neonCount)
	a.i("BNE loop")
}

// kDecode writes n blocks as a panel of float32, w = fma(q, scale, offset).
func (a neon) kDecode(q kquant) {
	const four, t, z, w, offset, bytes v = 0, 1, 2, 3, nkX, 4
	a.fn("decode"+q.name, decodeArgs)
	a.quarters(func() {
		a.args("n:"+neonCount, "w:"+neonPanel, "dst:"+neonC)
		a.nkPanel()
		a.i("ADD %s, %s", nkQuarter, neonC)
		a.nkMasks(q)
		for i := range 4 {
			a.broadcast(0xff<<(8*i), bytes+v(i))
		}
		a.label("loop")
		a.subScales(q)
		for sub := range q.subBlocks() {
			for e := range 8 {
				scale, minimum := q.scaleOf(sub, e)
				if !q.minima {
					minimum = offset
					if e == 0 || q.bits == 6 && e == 4 {
						a.constant(-q.bias, t)
						a.op("fmul", "4s", offset, scale, t)
					}
				}
				a.dword(q, sub, e, four, t)
				for i := range 4 {
					a.byteFloat(z, four, bytes+v(i), i)
					a.mov(w, minimum)
					a.op("fmla", "4s", w, z, scale)
					a.store((32*sub+4*e+i)*laneBytes, neonC, w)
				}
			}
		}
		a.i("ADD $%d, %s", 32*q.subBlocks()*laneBytes, neonC)
		a.nkNext(q)
	})
}

// kDotTile multiplies n blocks of int8 activations by SDOT, or, of one row, by
// SMULL: int8K.
func (a neon) kDotTile(q kquant, dot string, mr int) {
	a.fn(fmt.Sprintf("%s%sx%d", dot, q.name, mr), tileArgs)
	a.quarters(func() {
		a.args("n:"+neonCount, "x:"+neonX[0], "w:"+neonPanel, "c:"+neonC, "lda:"+neonLda, "ldc:"+neonLdc, "acc:R9")
		a.i("ADD %s, %s, %s", neonLda, neonX[0], neonX[1])
		a.nkPanel()
		a.i("ADD %s, %s", nkQuarter, neonC)
		for m := range mr {
			a.clear(nkAcc + v(m))
		}
		a.i("ADD %s, %s, %s", neonLdc, neonC, neonLdc)
		rows := []string{neonC, neonLdc}[:mr]
		a.i("CBZ R9, start")
		for m, c := range rows {
			a.load(0, c, nkAcc+v(m))
		}
		a.label("start")
		a.nkMasks(q)
		a.label("loop")
		a.subScales(q)
		for sub := range q.subBlocks() {
			for e := range 8 {
				a.dword(q, sub, e, nkQ+v(e), nkX)
			}
			for m := range mr {
				a.kDotRow(q, dot, sub, neonX[m], nkAcc+v(m))
			}
		}
		a.nkNext(q)
		for m, c := range rows {
			a.store(0, c, nkAcc+v(m))
		}
	})
}

// kDotRow adds the unpacked sub-block times the activations at x, and moves on.
// The sums begin with those of the activations, if there are any.
func (a neon) kDotRow(q kquant, dot string, sub int, x string, acc v) {
	const head, z = nkX, nkX + 1 // head: scale, then one or two sums
	scale, offset := q.scaleOf(sub, 0)
	second, _ := q.scaleOf(sub, 4)
	a.load(0, x, head)
	if q.minima {
		a.by("fmla", acc, offset, head, 1)
	}
	sums := a.sdots
	if dot == "mull" {
		sums = a.mulls
	}
	s := sums(q, x)
	a.to("scvtf", s[0], s[0])
	if q.bits == 6 {
		a.to("scvtf", s[1], s[1])
		a.op("fmul", "4s", s[0], s[0], scale)
		a.op("fmla", "4s", s[0], s[1], second)
		a.by("fmla", acc, s[0], head, 0)
	} else {
		a.by("fmul", z, scale, head, 0)
		a.op("fmla", "4s", acc, z, s[0])
	}
	a.i("ADD $%d, %s", q.actBytes(), x)
}

// sdots sums the products of a sub-block, or of each half, by dot products.
func (a neon) sdots(q kquant, x string) [2]v {
	const bytes = nkX + 1
	s := [2]v{nkTemp, nkMore}
	for h := range 2 {
		sum := s[0]
		if q.bits == 6 {
			sum = s[h]
		}
		switch {
		case q.minima && h == 0:
			a.clear(sum)
		case !q.minima && (h == 0 || q.bits == 6):
			a.dup(sum, nkX, 1+h)
		}
		a.load(q.actAt()+16*h, x, bytes)
		for e := range 4 {
			a.by("sdot", sum, nkQ+v(4*h+e), bytes, e)
		}
	}
	return s
}

// mulls is sdots by products of 16 bits, four of which are at most 4·63·127 =
// 32004 < 1<<15. The dwords of q end up as scratch.
func (a neon) mulls(q kquant, x string) [2]v {
	const bytes, low, high, word = nkX + 1, nkTemp, nkMore, nkAcc + 1
	s := [2]v{nkQ, nkQ + 1}
	for h := range 2 {
		a.load(q.actAt()+16*h, x, bytes)
		for e := range 4 {
			four, mul := nkQ+v(4*h+e), "smlal"
			if e == 0 {
				mul = "smull"
			}
			a.dup(word, bytes, e)
			a.wide(mul, low, four, word)
			a.wide(mul+"2", high, four, word)
		}
		a.clear(bytes)
		a.to("sadalp", bytes, low)
		a.clear(low)
		a.to("sadalp", low, high)
		a.op("addp", "4s", s[h], bytes, low)
		if !q.minima && (h == 0 || q.bits == 6) {
			a.dup(bytes, nkX, 1+h)
			a.op("add", "4s", s[h], s[h], bytes)
		}
	}
	if q.bits != 6 {
		a.op("add", "4s", s[0], s[0], s[1])
	}
	return s
}

// neonKQuants are the tiles of kquants and tables of them.
func neonKQuants() *asm {
	a := newNeon("neon")
	for _, q := range kquants {
		a.kDecode(q)
		for _, mr := range nkRows {
			a.kDotTile(q, "sdot", mr)
		}
		a.kDotTile(q, "mull", 1)
	}
	for _, q := range kquants {
		exact, int8 := q.docs()
		a.neonTable("Exact"+q.name, "", nil, q.name, 32*q.subBlocks(), q.blockBytes(), exact)
		a.neonTable("Int8"+q.name, "sdot"+q.name, nkRows, "", 0, 0, append(int8, "", "It needs dot products (SDOT)."))
		doc := append([]string{"Mull" + q.name + int8[0][len("Int8"+q.name):]}, int8[1:]...)
		a.neonTable("Mull"+q.name, "mull"+q.name, []int{1}, "", 0, 0, append(doc, "", "It needs nothing (SMULL)."))
	}
	return a.asm
}
