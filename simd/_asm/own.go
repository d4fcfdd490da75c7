package main

import "math"

// ownKind is a panel of one of the project's own formats: groups of up to subs
// times 64 k, each a cache line of scales (and minima) and then 64 k after 64 k.
// Tiles count 64 k as one.
type ownKind struct {
	name        string
	subs        int // of a group
	bits        int // of a q
	exact, int8 []string
}

var ownKinds = []ownKind{
	{"I8", 4, 8, []string{
		"ExactI8 takes panels of I8 and float32 activations, both turned:",
		"",
		"\tacc = fma(fma(q[k], d, -128*d), x[k], acc)",
	}, []string{
		"Int8I8 takes panels of I8 and int8 groups of turned activations; for each group",
		"of 256, or of what is left:",
		"",
		"\tsum := Σ (q[k]-128) * x.q[k] // exact: at most 256·128·128, a float32 too",
		"\tacc = fma(d*x.scale, float32(sum), acc)",
	}},
	{"I4", 2, 4, []string{
		"ExactI4 takes panels of I4 and float32 activations, both turned:",
		"",
		"\tacc = fma(fma(q[k], d, m), x[k], acc)",
	}, []string{
		"Int8I4 takes panels of I4 and int8 groups of turned activations; for each group",
		"of 128, or of what is left:",
		"",
		"\tsum := Σ q[k] * x.q[k] // exact: at most 128·15·128, a float32 too",
		"\tacc = fma(m, x.sum, acc)",
		"\tacc = fma(d*x.scale, float32(sum), acc)",
	}},
}

// ownSub is the number of k that are one.
const ownSub = 64

// Groups of 256 int8 activations: a float32 scale, int32 -128·Σq, float32 scale·Σq
// of the first and of the last 128, then at ownActQ the int8.
const (
	ownActScale, ownActBias, ownActSum, ownActQ = 0, 4, 8, 64
	ownActSubs                                  = 4
	ownActGroup                                 = ownActQ + ownActSubs*ownSub
)

func (q ownKind) halves() int   { return 8 / q.bits }
func (q ownKind) vectors() int  { return ownSub / 4 / q.halves() } // of a sub
func (q ownKind) subBytes() int { return q.vectors() * laneBytes }

// ownHeader reads the scales of a group of panel p, and its offsets: the minima, or
// -128 of each scale where that is wanted.
func (a *asm) ownHeader(q ownKind, p, scale, offset, constant int, exact bool) {
	switch {
	case q.bits == 4:
		a.i("VMOVDQU32 %s, Z%d", weights(p, 0), scale)
		a.i("VPANDD Z%d, Z%d, Z%d", constant, scale, offset)
		a.i("VPSLLD $16, Z%d, Z%d", scale, scale)
	default:
		a.i("VMOVUPS %s, Z%d", weights(p, 0), scale)
		if exact {
			a.i("VMULPS Z%d, Z%d, Z%d", constant, scale, offset)
		}
	}
}

// ownCount sets R13 to the subs of the next group, at most subs, and takes them
// from the count.
func (a *asm) ownCount(subs int) {
	a.i("MOVQ $%d, R13", subs)
	a.i("CMPQ %s, R13", countReg)
	a.i("CMOVQLT %s, R13", countReg)
	a.i("SUBQ R13, %s", countReg)
}

// ownExact is exactTile for panels of own formats.
func (a *asm) ownExact(q ownKind, mr, panels int) {
	a.beginTile("exact"+q.name, mr, panels)
	const mask, constant, first = 31, 30, 26
	scale, offset := func(p int) int { return 29 - 2*p }, func(p int) int { return 28 - 2*p }
	a.broadcast(map[int]uint32{8: 0xff, 4: 0x0f}[q.bits], mask)
	a.broadcast(map[int]uint32{8: math.Float32bits(-128), 4: 0xffff0000}[q.bits], constant)
	tmp := temps(mr*panels, first-1)
	forward := func(n int) {
		a.i("ADDQ $%d, %s", n, panelReg)
		if panels == 2 {
			a.i("ADDQ $%d, %s", n, aheadReg)
		}
	}
	a.label("group")
	for p := range panels {
		a.ownHeader(q, p, scale(p), offset(p), constant, true)
	}
	a.prefetchAhead(panels, 0, laneBytes)
	if panels == 1 && mr > 1 {
		a.prefetchStream(laneBytes)
	}
	forward(laneBytes)
	a.ownCount(q.subs)
	a.label("loop")
	if panels == 1 && mr > 1 {
		a.prefetchStream(q.subBytes())
	}
	k := 0
	for h := range q.halves() {
		for g := range q.vectors() {
			if h == 0 {
				a.prefetchAhead(panels, laneBytes*g, laneBytes)
			}
			for i := range 4 {
				for p := range panels {
					z, shift, w := tmp(), 8*i+4*h, weights(p, laneBytes*g)
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
	a.ownBases(mr, "ADDQ $%d, %s", 4*ownSub)
	forward(q.subBytes())
	a.i("DECQ R13")
	a.i("JNZ loop")
	a.i("TESTQ %s, %s", countReg, countReg)
	a.i("JNZ group")
	a.endTile(mr, panels)
}

// ownBases moves all activation rows.
func (a *asm) ownBases(mr int, format string, by any) {
	for b := 0; 3*b < mr; b++ {
		a.i(format, by, baseRegs[b])
	}
}

// ownInt8 multiplies int8 groups of activations: the products of a group are summed
// exactly. walked is how far the rows have moved from their group's beginning.
func (a *asm) ownInt8(q ownKind, mr int) {
	a.beginTile("int8"+q.name, mr, 1)
	const mask, constant, scale, offset, walked = 31, 30, 29, 28, "R11"
	if q.bits == 4 {
		a.broadcast(0x0f0f0f0f, mask)
		a.broadcast(0xffff0000, constant)
	}
	sum := func(m int) int { return mr + m }
	tmp := temps(2*mr, offset-1)
	dot := func(z, k int) {
		for m := range mr {
			a.i("VPDPBUSD.BCST %s, Z%d, Z%d", row(m, k), z, sum(m))
		}
	}
	a.label("group")
	for part := range ownActSubs / q.subs {
		for m := range mr {
			if q.bits == 8 {
				a.i("VPBROADCASTD %s, Z%d", row(m, ownActBias), sum(m))
			} else {
				a.i("VPXORD Z%d, Z%d, Z%d", sum(m), sum(m), sum(m))
			}
		}
		if mr > 1 {
			a.prefetchStream(laneBytes)
		}
		a.ownHeader(q, 0, scale, offset, constant, false)
		a.i("ADDQ $%d, %s", laneBytes, panelReg)
		a.ownCount(q.subs)
		at := ownActQ + part*q.subs*ownSub
		a.i("MOVQ R13, %s", walked)
		a.i("SHLQ $6, %s", walked)
		a.i("ADDQ $%d, %s", at, walked)
		a.ownBases(mr, "ADDQ $%d, %s", at)
		loop := "loop" + string(rune('A'+part))
		a.label(loop)
		if mr > 1 {
			a.prefetchStream(q.subBytes())
		}
		for g := range q.vectors() {
			z := tmp()
			a.i("VMOVDQU32 %s, Z%d", weights(0, laneBytes*g), z)
			if q.bits == 8 {
				dot(z, 4*g)
				continue
			}
			high := tmp()
			a.i("VPSRLD $4, Z%d, Z%d", z, high)
			a.i("VPANDD Z%d, Z%d, Z%d", mask, z, z)
			a.i("VPANDD Z%d, Z%d, Z%d", mask, high, high)
			dot(z, 4*g)
			dot(high, ownSub/2+4*g)
		}
		a.ownBases(mr, "ADDQ $%d, %s", ownSub)
		a.i("ADDQ $%d, %s", q.subBytes(), panelReg)
		a.i("DECQ R13")
		a.i("JNZ %s", loop)
		a.ownBases(mr, "SUBQ %s, %s", walked)
		if q.bits == 4 {
			for m := range mr {
				a.i("VFMADD231PS.BCST %s, Z%d, Z%d", row(m, ownActSum+4*part), offset, m)
			}
		}
		for m := range mr {
			z := tmp()
			a.i("VCVTDQ2PS Z%d, Z%d", sum(m), sum(m))
			a.i("VMULPS.BCST %s, Z%d, Z%d", row(m, ownActScale), scale, z)
			a.i("VFMADD231PS Z%d, Z%d, Z%d", z, sum(m), m)
		}
		a.i("TESTQ %s, %s", countReg, countReg)
		a.i("JZ done")
	}
	a.ownBases(mr, "ADDQ $%d, %s", ownActGroup)
	a.i("JMP group")
	a.label("done")
	a.endTile(mr, 1)
}

// signs sets Zz to 1 in lanes i with i&h == 0 and to -1 in the others.
func (a *asm) signs(z, h int) {
	mask := 0
	for i := range lanes {
		if i&h != 0 {
			mask |= 1 << i
		}
	}
	a.broadcast(math.Float32bits(1), z)
	a.i("MOVL $0x%04x, R13", mask)
	a.i("KMOVW R13, K1")
	a.i("MOVL $0x%08x, R13", math.Float32bits(-1))
	a.i("VPBROADCASTD R13, K1, Z%d", z)
}

// hadamard512 turns n elements, a multiple of 64: two steps between registers, four
// within one by z = ±z + the other half.
func (a *asm) hadamard512() {
	a.fn("hadamard", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	steps := []struct {
		h     int
		other string
	}{{8, "VSHUFF32X4 $0x4e, Z%[1]d, Z%[1]d, Z%[2]d"}, {4, "VSHUFF32X4 $0xb1, Z%[1]d, Z%[1]d, Z%[2]d"},
		{2, "VPERMILPS $0x4e, Z%[1]d, Z%[2]d"}, {1, "VPERMILPS $0xb1, Z%[1]d, Z%[2]d"}}
	const eighth = 31
	for i, s := range steps {
		a.signs(eighth-1-i, s.h)
	}
	a.broadcast(math.Float32bits(1.0/8), eighth)
	a.label("loop")
	for z := range 4 {
		a.i("VMOVUPS %d(SI), Z%d", laneBytes*z, z)
	}
	for _, pair := range [][2]int{{0, 2}, {1, 3}, {0, 1}, {2, 3}} {
		u, v := pair[0], pair[1]
		a.i("VADDPS Z%d, Z%d, Z%d", v, u, 4+u)
		a.i("VSUBPS Z%d, Z%d, Z%d", v, u, v)
		a.i("VMOVAPS Z%d, Z%d", 4+u, u)
	}
	for i, s := range steps {
		for z := range 4 {
			a.i(s.other, z, 4+z)
		}
		for z := range 4 {
			a.i("VFMADD213PS Z%d, Z%d, Z%d", 4+z, eighth-1-i, z)
		}
	}
	for z := range 4 {
		a.i("VMULPS Z%d, Z%d, Z%d", eighth, z, z)
		a.i("VMOVUPS Z%d, %d(DI)", z, laneBytes*z)
	}
	a.i("ADDQ $%d, SI", 4*laneBytes)
	a.i("ADDQ $%d, DI", 4*laneBytes)
	a.i("SUBQ $64, CX")
	a.i("JNZ loop")
	a.ret()
}

// quantizeOwn512 writes one group of n activations, a multiple of 64 up to 256. The
// largest magnitude and the factor are those of quantize.
func (a *asm) quantizeOwn512() {
	a.fn("quantizeOwn", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.broadcast(0x7fffffff, 31)
	a.broadcast(math.Float32bits(127), 30)
	a.broadcast(math.Float32bits(math.MaxFloat32), 29)
	a.zero(0, 1)
	a.i("MOVQ SI, AX")
	a.i("MOVQ CX, DX")
	a.label("max")
	for z := 1; z <= 4; z++ {
		a.i("VPANDD %d(AX), Z31, Z%d", laneBytes*(z-1), z)
		a.i("VPMAXSD Z%d, Z0, Z0", z)
	}
	a.i("ADDQ $%d, AX", 4*laneBytes)
	a.i("SUBQ $64, DX")
	a.i("JNZ max")
	a.fold("VPMAXSD", 0, 1)
	a.i("VDIVSS X30, X0, X28") // scale = max/127
	a.i("VMOVSS X28, %d(DI)", ownActScale)
	a.i("VDIVSS X0, X30, X5") // 127/max
	a.i("VMINSS X29, X5, X5")
	a.i("VBROADCASTSS X5, Z5")
	a.i("XORL R8, R8") // Σq of all
	a.i("LEAQ %d(DI), BX", ownActQ)
	for part := range 2 { // of 128
		loop, none := "loop"+string(rune('A'+part)), "none"+string(rune('A'+part))
		a.zero(0, 1)
		a.i("MOVQ $2, R9")
		a.i("TESTQ CX, CX")
		a.i("JZ %s", none)
		a.label(loop)
		for z := 1; z <= 4; z++ {
			a.i("VMULPS %d(SI), Z5, Z%d", laneBytes*(z-1), z)
			a.i("VCVTPS2DQ Z%d, Z%d", z, z)
			a.i("VPMOVDB Z%d, X6", z)
			a.i("VMOVDQU X6, %d(BX)", 16*(z-1))
			a.i("VPADDD Z%d, Z0, Z0", z)
		}
		a.i("ADDQ $%d, SI", 4*laneBytes)
		a.i("ADDQ $64, BX")
		a.i("SUBQ $64, CX")
		a.i("JZ %s", none)
		a.i("DECQ R9")
		a.i("JNZ %s", loop)
		a.label(none)
		a.fold("VPADDD", 0, 1)
		a.i("VMOVD X0, R10")
		a.i("ADDL R10, R8")
		a.i("VCVTDQ2PS X0, X0")
		a.i("VMULSS X28, X0, X0")
		a.i("VMOVSS X0, %d(DI)", ownActSum+4*part)
	}
	a.i("SHLL $7, R8")
	a.i("NEGL R8")
	a.i("MOVL R8, %d(DI)", ownActBias)
	a.ret()
}

// sumFit adds what Fit says of n weights, a multiple of 16.
func (a *asm) sumFit() {
	a.fn("sumFit", "(fit, w, line unsafe.Pointer, n int)") // line: d, m, factor
	a.load("fit:DI", "w:SI", "line:AX", "n:CX")
	const d, m, factor = 13, 14, 15
	a.i("VBROADCASTSS (AX), @%d", d)
	a.i("VBROADCASTSS 4(AX), @%d", m)
	a.i("VBROADCASTSS 8(AX), @%d", factor)
	zero, most := a.constant(0, 16), a.constant(math.Float32bits(15), 17)
	for z := range 5 {
		a.clear(z)
	}
	a.label("loop")
	for p := range a.parts {
		a.part = part{number: p}
		const e, q, r = 5, 6, 7
		add := func(z, to int) { a.i("VADDPS @%d, @%d, @%d", z, a.own(to), a.own(to)) }
		a.read("SI", e)
		a.i("VSUBPS @%d, @%d, @%d", m, e, e)
		a.i("VMULPS @%d, @%d, @%d", factor, e, q)
		a.i("VMAXPS %s, @%d, @%d", zero, q, q)
		a.i("VMINPS %s, @%d, @%d", most, q, q)
		if a.parts == 1 {
			a.i("VRNDSCALEPS $8, @%d, @%d", q, q)
		} else {
			a.i("VROUNDPS $8, @%d, @%d", q, q)
		}
		a.i("VMULPS @%d, @%d, @%d", d, q, r)
		a.i("VSUBPS @%d, @%d, @%d", r, e, r)
		a.i("VMULPS @%d, @%d, @%d", r, r, r)
		add(r, 0)
		add(q, 1)
		a.i("VMULPS @%d, @%d, @%d", q, q, r)
		add(r, 2)
		add(e, 3)
		a.i("VMULPS @%d, @%d, @%d", q, e, r)
		add(r, 4)
	}
	a.i("ADDQ $%d, SI", laneBytes)
	a.i("SUBQ $16, CX")
	a.i("JNZ loop")
	for z := range 5 {
		a.fold("VADDPS", z, 5)
		a.i("VMOVSS X%d, %d(DI)", z, 4*z)
	}
	a.ret()
}
