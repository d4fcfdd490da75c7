package main

import (
	"fmt"
	"math"
)

// The project's own formats of 128 bits. As in ownExact and ownInt8, tiles count 64
// k as one, from a group's beginning on.

// neonLeft counts what is left of a group.
const neonLeft = "R12"

// ownLeft sets neonLeft to the subs of the next group and takes them from the count.
func (a neon) ownLeft(q ownKind) {
	a.i("MOVD $%d, %s", q.subs, neonLeft)
	a.i("CMP $%d, %s", q.subs, neonCount)
	a.i("CSEL LT, %s, %s, %s", neonCount, neonLeft, neonLeft)
	a.i("SUB %s, %s", neonLeft, neonCount)
}

// ownScales reads the scales of a group and its offsets, as exactBlock wants them.
func (a neon) ownScales(q ownKind) {
	a.load(0, neonPanel, run(exactScales, quads)...)
	if q.bits == 4 {
		a.broadcast(0xffff0000, exactTemp)
	} else {
		a.constant(-128, exactTemp)
	}
	for i := range v(quads) {
		d, m := exactScales+i, exactOffsets+i
		if q.bits == 4 {
			a.op("and", "16b", m, d, exactTemp)
			a.shift("shl", "4s", d, d, 16)
		} else {
			a.op("fmul", "4s", m, d, exactTemp)
		}
	}
}

// ownDecoded is the loop over n times 64 k: emit gets the 4 registers of each, w =
// fma(q, scale, offset), and moved is the end of a turn.
func (a neon) ownDecoded(q ownKind, emit func(k int, w []v), moved func()) {
	for i := range 4 {
		a.broadcast(map[int]uint32{8: 0xff, 4: 0x0f}[q.bits]<<(8*i), exactMasks+v(i))
	}
	a.label("group")
	a.ownScales(q)
	a.i("ADD $%d, %s", laneBytes, neonPanel)
	a.ownLeft(q)
	a.label("loop")
	for h := range q.halves() {
		for g := range q.vectors() {
			a.load(laneBytes*g, neonPanel, run(exactDwords, quads)...)
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
				emit(ownSub/2*h+4*g+i, run(exactW, quads))
			}
		}
	}
	moved()
	a.i("ADD $%d, %s", q.subBytes(), neonPanel)
	a.i("SUBS $1, %s", neonLeft)
	a.i("BNE loop")
	a.i("CBNZ %s, group", neonCount)
}

// ownExact is exactTile for panels of own formats.
func (a neon) ownExact(q ownKind, mr int) {
	a.beginTile("exact"+q.name, mr)
	a.ownDecoded(q, func(k int, w []v) {
		for m := range mr {
			if k%4 == 0 {
				a.load(4*k, neonX[m], exactX+v(m))
			}
			for i, acc := range accs(m) {
				a.by("fmla", acc, w[i], exactX+v(m), k%4)
			}
		}
	}, func() { a.ownMove("ADD $%d, %s", 4*ownSub, mr) })
	a.endTile(mr)
}

// ownDecode widens n times 64 k.
func (a neon) ownDecode(q ownKind) {
	a.beginDecode(q.name)
	a.ownDecoded(q, func(k int, w []v) { a.store(k*laneBytes, neonC, w...) },
		func() { a.i("ADD $%d, %s", ownSub*laneBytes, neonC) })
	a.end()
}

// ownMove moves all activation rows.
func (a neon) ownMove(format string, by any, mr int) {
	for m := range mr {
		a.i(format, by, neonX[m])
	}
}

// ownInt8 multiplies int8 groups of activations. begin starts the sums of a group,
// sub adds the products of 64 k, and total is what a row's sums are at last; x are
// registers of an activation row each.
func (a neon) ownInt8(q ownKind, mr int, x []v, begin, sub func(), total func(m int) []v) {
	const header, walked = "R11", "R10"
	const d, minimum, z v = 27, 28, 29
	a.label("group")
	for part := range ownActSubs / q.subs {
		begin()
		a.i("MOVD %s, %s", neonPanel, header)
		a.i("ADD $%d, %s", laneBytes, neonPanel)
		a.ownLeft(q)
		at := ownActQ + part*q.subs*ownSub
		a.i("LSL $6, %s, %s", neonLeft, walked)
		a.i("ADD $%d, %s", at, walked)
		a.ownMove("ADD $%d, %s", at, mr)
		loop := fmt.Sprintf("loop%d", part)
		a.label(loop)
		sub()
		a.ownMove("ADD $%d, %s", ownSub, mr)
		a.i("ADD $%d, %s", q.subBytes(), neonPanel)
		a.i("SUBS $1, %s", neonLeft)
		a.i("BNE %s", loop)
		a.ownMove("SUB %s, %s", walked, mr)
		sums := make([][]v, mr)
		for m := range mr {
			sums[m] = total(m)
			a.load(0, neonX[m], x[m])
		}
		for j := range quads {
			a.load(16*j, header, d)
			if q.bits == 4 {
				a.shift("ushr", "4s", minimum, d, 16)
				a.shift("shl", "4s", minimum, minimum, 16)
				a.shift("shl", "4s", d, d, 16)
			}
			for m := range mr {
				acc, s := accs(m)[j], sums[m][j]
				if q.bits == 4 {
					a.by("fmla", acc, minimum, x[m], ownActSum/4+part)
				}
				a.by("fmul", z, d, x[m], ownActScale/4)
				a.to("scvtf", s, s)
				a.op("fmla", "4s", acc, z, s)
			}
		}
		a.i("CBZ %s, done", neonCount)
	}
	a.ownMove("ADD $%d, %s", ownActGroup, mr)
	a.i("B group")
	a.label("done")
	a.endTile(mr)
}

// ownQs reads 4 rows' dwords of k 4e … 4e+3 of a sub into d, as ownInt8 multiplies
// them.
func (a neon) ownQs(q ownKind, dot string, e, j int, d, constant v) {
	h, g := e/q.vectors(), e%q.vectors()
	a.load(laneBytes*g+16*j, neonPanel, d)
	switch {
	case q.bits == 4 && h == 0:
		a.op("and", "16b", d, d, constant)
	case q.bits == 4:
		a.shift("ushr", "16b", d, d, 4)
	case dot != "usdot":
		a.op("eor", "16b", d, d, constant)
	}
}

// ownConstant sets what ownQs needs.
func (a neon) ownConstant(q ownKind, dot string, d v) {
	switch {
	case q.bits == 4:
		a.broadcast(0x0f0f0f0f, d)
	case dot != "usdot":
		a.broadcast(0x80808080, d)
	}
}

// ownDot is ownInt8 by SDOT or USDOT.
func (a neon) ownDot(q ownKind, dot string, mr int) {
	const constant v = 31
	a.beginTile(dot+q.name, mr)
	a.ownConstant(q, dot, constant)
	sums := func(m int) []v { return run(v(quads*(mr+m)), quads) }
	x := run(v(2*quads*mr), mr)
	tmp := ring(x[mr-1]+1, constant-1)
	a.ownInt8(q, mr, x, func() {
		for m := range mr {
			if dot == "usdot" {
				a.load(0, neonX[m], x[m])
			}
			for _, s := range sums(m) {
				if dot == "usdot" { // q are too large by 128
					a.dup(s, x[m], ownActBias/4)
				} else {
					a.clear(s)
				}
			}
		}
	}, func() {
		for e := range ownSub / 4 {
			for m := range mr {
				if e%4 == 0 {
					a.load(4*e, neonX[m], x[m])
				}
			}
			for j := range quads {
				d := tmp()
				a.ownQs(q, dot, e, j, d, constant)
				for m := range mr {
					a.by(dot, sums(m)[j], d, x[m], e%4)
				}
			}
		}
	}, sums)
}

// ownMull is ownInt8 of one row by products of 16 bits: two of I8 and four of
// I4 never overflow.
func (a neon) ownMull(q ownKind) {
	const dot = "mull"
	const x, words, constant, product, other v = 12, 13, 31, 30, 29
	a.beginTile(dot+q.name, 1)
	a.ownConstant(q, dot, constant)
	sums := run(4, 2*quads) // of lanes 0 and 1, of 2 and 3, each in two
	tmp := ring(words+4, other-1)
	step := map[int]int{8: 2, 4: 4}[q.bits] // dwords whose products are added first
	a.ownInt8(q, 1, []v{x}, func() {
		for _, s := range sums {
			a.clear(s)
		}
	}, func() {
		for e := 0; e < ownSub/4; e += step {
			if e%4 == 0 {
				a.load(4*e, neonX[0], x)
			}
			for i := range step {
				a.dup(words+v(i), x, e%4+i)
			}
			for j := range quads {
				for i := range step {
					d, mul := tmp(), "smlal"
					if i == 0 {
						mul = "smull"
					}
					a.ownQs(q, dot, e+i, j, d, constant)
					a.wide(mul, product, d, words+v(i))
					a.wide(mul+"2", other, d, words+v(i))
				}
				a.to("sadalp", sums[2*j], product)
				a.to("sadalp", sums[2*j+1], other)
			}
		}
	}, func(int) []v {
		total := run(4, quads)
		for j := range quads {
			a.op("addp", "4s", total[j], sums[2*j], sums[2*j+1])
		}
		return total
	})
}

// hadamard turns n elements, a multiple of 64: four steps between registers, two
// between the lanes of two of them.
func (a neon) hadamard() {
	const eighth v = 31
	a.fn("hadamard", "(n int, dst, x unsafe.Pointer)")
	a.args("n:R0", "dst:R1", "x:R2")
	a.constant(1.0/8, eighth)
	a.label("loop")
	r, free := run(0, ownSub/4), v(16)
	a.load(0, "R2", r...)
	// sums sets registers i and j of r to their sum and difference.
	sums := func(i, j int) {
		a.op("fadd", "4s", free, r[i], r[j])
		a.op("fsub", "4s", r[j], r[i], r[j])
		r[i], free = free, r[i]
	}
	// deal sets them to what two instructions make of both.
	deal := func(first, second, shape string, i, j int) {
		a.op(first, shape, free, r[i], r[j])
		a.op(second, shape, r[j], r[i], r[j])
		r[i], free = free, r[i]
	}
	for h := len(r) / 2; h > 0; h /= 2 {
		for i := range r {
			if i&h == 0 {
				sums(i, i+h)
			}
		}
	}
	for i := 0; i < len(r); i += 2 {
		deal("zip1", "zip2", "2d", i, i+1) // lanes 0, 1 and 2, 3 of both
		sums(i, i+1)
		deal("trn1", "trn2", "4s", i, i+1) // lanes 0, 2 and 1, 3
		sums(i, i+1)
		deal("zip1", "zip2", "4s", i, i+1)
	}
	for _, z := range r {
		a.op("fmul", "4s", z, z, eighth)
	}
	a.store(0, "R1", r...)
	a.i("ADD $%d, R1", 4*ownSub)
	a.i("ADD $%d, R2", 4*ownSub)
	a.i("SUBS $%d, R0", ownSub)
	a.i("BNE loop")
	a.end()
}

// quantizeOwn writes one group of n activations, a multiple of 64 up to 256. The
// largest magnitude and the factor are those of quantize.
func (a neon) quantizeOwn() {
	const magnitude, most, largest, top, scale, factor, total v = 31, 30, 29, 28, 27, 26, 25
	a.fn("quantizeOwn", "(n int, dst, x unsafe.Pointer)")
	a.args("n:R0", "dst:R1", "x:R2")
	a.broadcast(0x7fffffff, magnitude)
	a.constant(127, most)
	a.constant(math.MaxFloat32, largest)
	a.clear(top)
	a.i("MOVD R2, R4")
	a.i("MOVD R0, R5")
	a.label("max")
	x, t := run(0, 8), run(8, 8)
	a.load(0, "R4", x...)
	for _, z := range x {
		a.op("and", "16b", z, z, magnitude)
		a.op("smax", "4s", top, top, z)
	}
	a.i("ADD $128, R4")
	a.i("SUBS $32, R5")
	a.i("BNE max")
	a.across("smaxv", top, top)
	a.i("FDIVS F%d, F%d, F%d", most, top, scale) // max/127
	a.i("FMOVS F%d, %d(R1)", scale, ownActScale)
	a.i("FDIVS F%d, F%d, F%d", top, most, factor) // 127/max
	a.op("fminnm", "4s", factor, factor, largest)
	a.i("MOVD $0, R8") // Σq of all
	a.i("ADD $%d, R1, R5", ownActQ)
	for part := range 2 { // of 128
		loop, none := fmt.Sprintf("loop%d", part), fmt.Sprintf("none%d", part)
		a.clear(total)
		a.i("MOVD $4, R6")
		a.i("CBZ R0, %s", none)
		a.label(loop)
		a.load(0, "R2", x...)
		for _, z := range x {
			a.by("fmul", z, z, factor, 0)
			a.to("fcvtns", z, z)
			a.op("add", "4s", total, total, z)
		}
		for i := range v(4) {
			a.to("xtn", t[i], x[2*i])
			a.to("xtn2", t[i], x[2*i+1])
			a.to("xtn8", t[i], t[i])
			a.i("FMOVD F%d, %d(R5)", t[i], 8*int(i))
		}
		a.i("ADD $128, R2")
		a.i("ADD $32, R5")
		a.i("SUB $32, R0")
		a.i("CBZ R0, %s", none)
		a.i("SUBS $1, R6")
		a.i("BNE %s", loop)
		a.label(none)
		a.across("addv", total, total)
		a.i("FMOVS F%d, R4", total)
		a.i("ADDW R4, R8")
		a.to("scvtf", total, total)
		a.i("FMULS F%d, F%d, F%d", scale, total, total)
		a.i("FMOVS F%d, %d(R1)", total, ownActSum+4*part)
	}
	a.i("LSLW $7, R8")
	a.i("NEGW R8, R8")
	a.i("MOVW R8, %d(R1)", ownActBias)
	a.end()
}

// sumFit adds what Fit says of n weights, a multiple of 16, to 16 lanes each.
func (a neon) sumFit() {
	const d, m, factor, zero, most, e, q, r v = 20, 21, 22, 23, 24, 25, 26, 27
	a.fn("sumFit", "(n int, s, w, line unsafe.Pointer)") // line: d, m, factor
	a.args("n:R0", "s:R1", "w:R2", "line:R3")
	for i := range v(3) {
		a.scalar("R3", d+i)
		a.i("ADD $4, R3")
	}
	a.clear(zero)
	a.constant(15, most)
	sum := func(i, j v) v { return quads*i + j }
	for z := range sum(5, 0) {
		a.clear(z)
	}
	a.every(func() {
		each(func(j v) {
			add := func(i, z v) { a.op("fadd", "4s", sum(i, j), sum(i, j), z) }
			a.load(16*int(j), "R2", e)
			a.op("fsub", "4s", e, e, m)
			a.op("fmul", "4s", q, e, factor)
			a.op("fmaxnm", "4s", q, q, zero)
			a.op("fminnm", "4s", q, q, most)
			a.to("frintn", q, q)
			a.op("fmul", "4s", r, d, q)
			a.op("fsub", "4s", r, e, r)
			a.op("fmul", "4s", r, r, r)
			add(0, r)
			add(1, q)
			a.op("fmul", "4s", r, q, q)
			add(2, r)
			add(3, e)
			a.op("fmul", "4s", r, q, e)
			add(4, r)
		})
	}, 64, "R2")
	for i := range v(5) {
		a.store(64*int(i), "R1", run(sum(i, 0), quads)...)
	}
	a.end()
}

// neonOwn are the tiles of ownKinds, tables of them, and what makes their operands.
func neonOwn() *asm {
	a := newNeon("neon")
	for _, q := range ownKinds {
		for _, mr := range exactRows {
			a.ownExact(q, mr)
		}
		a.ownDecode(q)
		for _, mr := range int8Rows {
			a.ownDot(q, "sdot", mr)
			if q.bits == 8 {
				a.ownDot(q, "usdot", mr)
			}
		}
		a.ownMull(q)
	}
	for _, q := range ownKinds {
		a.neonTable("Exact"+q.name, "exact"+q.name, exactRows, q.name, ownSub, laneBytes/q.subs+q.subBytes(), q.exact)
		add := func(dot, table string, rows []int, with string) {
			doc := append([]string{table + q.name + q.int8[0][len("Int8"+q.name):]}, q.int8[1:]...)
			a.neonTable(table+q.name, dot+q.name, rows, "", 0, 0, append(doc, "", with))
		}
		add("sdot", "Int8", int8Rows, "It needs dot products (SDOT).")
		if q.bits == 8 {
			add("usdot", "Mixed", int8Rows, "It needs mixed dot products (USDOT of I8MM), which take q as they are.")
		}
		add("mull", "Mull", []int{1}, "It needs nothing (SMULL).")
	}
	a.hadamard()
	a.quantizeOwn()
	a.sumFit()
	return a.asm
}
