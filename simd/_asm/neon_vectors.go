package main

import "math"

// Vector kernels take n elements, a positive multiple of 16: package neon pads what
// is left. The 16 lanes are 4 registers, in memory [16]float32.

// every runs body for every 16 elements that R0 counts, and moves pointers on by
// bytes.
func (a neon) every(body func(), bytes int, regs ...string) {
	a.label("loop")
	body()
	for _, r := range regs {
		a.i("ADD $%d, %s", bytes, r)
	}
	a.i("SUBS $16, R0")
	a.i("BNE loop")
}

// each calls f for the 4 registers of a vector.
func each(f func(i v)) {
	for i := range v(quads) {
		f(i)
	}
}

// scalar loads a float32 at base into all lanes of d.
func (a neon) scalar(base string, d v) {
	a.i("FMOVS (%s), F%d", base, d)
	a.dup(d, d, 0)
}

func (a neon) add() {
	a.fn("add", "(n int, dst, x unsafe.Pointer)")
	a.args("n:R0", "dst:R1", "x:R2")
	a.every(func() {
		a.load(0, "R1", run(0, 4)...)
		a.load(0, "R2", run(4, 4)...)
		each(func(i v) { a.op("fadd", "4s", i, i, 4+i) })
		a.store(0, "R1", run(0, 4)...)
	}, 64, "R1", "R2")
	a.end()
}

// sumSquares: lane i of s adds x[16j+i]² by FMA.
func (a neon) sumSquares() {
	a.fn("sumSquares", "(n int, s, x unsafe.Pointer)")
	a.args("n:R0", "s:R1", "x:R2")
	a.load(0, "R1", run(0, 4)...)
	a.every(func() {
		a.load(0, "R2", run(4, 4)...)
		each(func(i v) { a.op("fmla", "4s", i, 4+i, 4+i) })
	}, 64, "R2")
	a.store(0, "R1", run(0, 4)...)
	a.end()
}

// scaleMul: dst = (x·s)·w.
func (a neon) scaleMul() {
	a.fn("scaleMul", "(n int, dst, x, w, s unsafe.Pointer)")
	a.args("n:R0", "dst:R1", "x:R2", "w:R3", "s:R4")
	a.scalar("R4", 31)
	a.every(func() {
		a.load(0, "R2", run(0, 4)...)
		a.load(0, "R3", run(4, 4)...)
		each(func(i v) { a.op("fmul", "4s", i, i, 31) })
		each(func(i v) { a.op("fmul", "4s", i, i, 4+i) })
		a.store(0, "R1", run(0, 4)...)
	}, 64, "R1", "R2", "R3")
	a.end()
}

// Registers of e^x, as in package avx512.
const (
	neonLog2e, neonHi, neonLo, neonC0 v = 16, 17, 18, 19
	neonOne, neonMin, neonMax         v = 25, 26, 27
)

func (a neon) expConstants() {
	for i, c := range []float32{math.Log2E, 0.693359375, -2.12194440e-4,
		1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
		1, -87.3, 88.7} {
		a.constant(c, neonLog2e+v(i))
	}
}

// exp: z = e^z, using t1, t2, t3. The power of two is multiplied in two halves, of
// which the first is exact, so that the product is rounded once.
func (a neon) exp(z, t1, t2, t3 v) {
	a.op("fmin", "4s", z, z, neonMax)
	a.op("fmax", "4s", z, z, neonMin)
	a.op("fmul", "4s", t1, z, neonLog2e)
	a.to("frintn", t1, t1)
	a.op("fmls", "4s", z, t1, neonHi)
	a.op("fmls", "4s", z, t1, neonLo)
	p, q := neonC0, t2
	for c := neonC0 + 1; c < neonOne; c++ {
		a.mov(q, c)
		a.op("fmla", "4s", q, p, z)
		if p = q; q == t2 {
			q = t3
		} else {
			q = t2
		}
	}
	a.op("fmul", "4s", q, z, z)
	a.op("fadd", "4s", z, z, neonOne)
	a.op("fmla", "4s", z, p, q)
	a.to("fcvtzs", t1, t1)
	a.shift("sshr", "4s", t2, t1, 1)
	a.op("sub", "4s", t1, t1, t2)
	for _, e := range []v{t2, t1} {
		a.shift("shl", "4s", e, e, 23)
		a.op("add", "4s", e, e, neonOne)
		a.op("fmul", "4s", z, z, e)
	}
}

// scaleMax: x = x·scale, lane i of m is the larger of itself and x[16j+i].
func (a neon) scaleMax() {
	a.fn("scaleMax", "(n int, m, x, scale unsafe.Pointer)")
	a.args("n:R0", "m:R1", "x:R2", "scale:R3")
	a.load(0, "R1", run(0, 4)...)
	a.scalar("R3", 31)
	a.every(func() {
		a.load(0, "R2", run(4, 4)...)
		each(func(i v) { a.op("fmul", "4s", 4+i, 4+i, 31) })
		each(func(i v) { a.op("fmaxnm", "4s", i, i, 4+i) })
		a.store(0, "R2", run(4, 4)...)
	}, 64, "R2")
	a.store(0, "R1", run(0, 4)...)
	a.end()
}

// expSum: x = exp(x - m), lane i of s adds x[16j+i].
func (a neon) expSum() {
	a.fn("expSum", "(n int, s, x, m unsafe.Pointer)")
	a.args("n:R0", "s:R1", "x:R2", "m:R3")
	a.load(0, "R1", run(0, 4)...)
	a.scalar("R3", 31)
	a.expConstants()
	a.every(func() {
		a.load(0, "R2", run(4, 4)...)
		each(func(i v) {
			a.op("fsub", "4s", 4+i, 4+i, 31)
			a.exp(4+i, 8+3*(i%2), 9+3*(i%2), 10+3*(i%2))
			a.op("fadd", "4s", i, i, 4+i)
		})
		a.store(0, "R2", run(4, 4)...)
	}, 64, "R2")
	a.store(0, "R1", run(0, 4)...)
	a.end()
}

// scaleAll: x = x·s.
func (a neon) scaleAll() {
	a.fn("scaleAll", "(n int, x, s unsafe.Pointer)")
	a.args("n:R0", "x:R1", "s:R2")
	a.scalar("R2", 31)
	a.every(func() {
		a.load(0, "R1", run(0, 4)...)
		each(func(i v) { a.op("fmul", "4s", i, i, 31) })
		a.store(0, "R1", run(0, 4)...)
	}, 64, "R1")
	a.end()
}

// siluMul: dst = gate/(1+exp(-gate))·up.
func (a neon) siluMul() {
	a.fn("siluMul", "(n int, dst, gate, up unsafe.Pointer)")
	a.args("n:R0", "dst:R1", "gate:R2", "up:R3")
	a.expConstants()
	a.clear(31)
	a.every(func() {
		a.load(0, "R2", run(0, 4)...)
		each(func(i v) {
			a.op("fsub", "4s", 4+i, 31, i)
			a.exp(4+i, 8+3*(i%2), 9+3*(i%2), 10+3*(i%2))
			a.op("fadd", "4s", 4+i, 4+i, neonOne)
			a.op("fdiv", "4s", i, i, 4+i)
		})
		a.load(0, "R3", run(4, 4)...)
		each(func(i v) { a.op("fmul", "4s", i, i, 4+i) })
		a.store(0, "R1", run(0, 4)...)
	}, 64, "R1", "R2", "R3")
	a.end()
}

// ropeHalves: x0, x1 = x0·c - x1·s, x1·c + x0·s.
func (a neon) ropeHalves() {
	a.fn("ropeHalves", "(n int, x0, x1, cos, sin unsafe.Pointer)")
	a.args("n:R0", "x0:R1", "x1:R2", "cos:R3", "sin:R4")
	a.every(func() {
		a.load(0, "R1", run(0, 4)...)
		a.load(0, "R2", run(4, 4)...)
		a.load(0, "R3", run(8, 4)...)
		a.load(0, "R4", run(12, 4)...)
		each(func(i v) { a.turn(i, 4+i, 8+i, 12+i, 16+i, 20+i) })
		a.store(0, "R1", run(16, 4)...)
		a.store(0, "R2", run(20, 4)...)
	}, 64, "R1", "R2", "R3", "R4")
	a.end()
}

// turn: y0, y1 = fma(x0, c, -(x1·s)), fma(x1, c, x0·s).
func (a neon) turn(x0, x1, c, s, y0, y1 v) {
	a.op("fmul", "4s", y0, x1, s)
	a.op("fmul", "4s", y1, x0, s)
	a.to("fneg", y0, y0)
	a.op("fmla", "4s", y0, x0, c)
	a.op("fmla", "4s", y1, x1, c)
}

// ropeInterleaved: pairs x[2i], x[2i+1]; n counts elements of x.
func (a neon) ropeInterleaved() {
	a.fn("ropeInterleaved", "(n int, x, cos, sin unsafe.Pointer)")
	a.args("n:R0", "x:R1", "cos:R2", "sin:R3")
	a.every(func() {
		a.load(0, "R1", run(0, 4)...)
		a.load(0, "R2", run(4, 2)...)
		a.load(0, "R3", run(6, 2)...)
		for i := range v(2) {
			a.op("uzp1", "4s", 8+i, 2*i, 2*i+1)
			a.op("uzp2", "4s", 10+i, 2*i, 2*i+1)
			a.turn(8+i, 10+i, 4+i, 6+i, 12+i, 14+i)
			a.op("zip1", "4s", 2*i, 12+i, 14+i)
			a.op("zip2", "4s", 2*i+1, 12+i, 14+i)
		}
		a.store(0, "R1", run(0, 4)...)
		a.i("ADD $32, R2")
		a.i("ADD $32, R3")
	}, 64, "R1")
	a.end()
}

// quantize writes activation blocks with sums of this many parts, or one scaled
// sum; n is a multiple of 32. As in package avx512 the largest magnitude is found
// on integers and the factor is cut to the largest float32.
func (a neon) quantize(name string, sums int, minima bool) {
	a.fn(name, "(n int, dst, x unsafe.Pointer, bias int)")
	a.args("n:R0", "dst:R1", "x:R2", "bias:R3")
	const magnitude, most, largest v = 31, 30, 29
	a.broadcast(0x7fffffff, magnitude)
	a.constant(127, most)
	a.constant(math.MaxFloat32, largest)
	a.label("loop")
	x, t := run(0, 8), run(8, 8)
	a.load(0, "R2", x...)
	for i := range x {
		a.op("and", "16b", t[i], x[i], magnitude)
	}
	tree := func(name string, r []v) {
		for n := len(r) / 2; n > 0; n /= 2 {
			for i := range n {
				a.op(name, "4s", r[i], r[i], r[i+n])
			}
		}
	}
	tree("smax", t)
	a.across("smaxv", t[0], t[0])
	a.i("FDIVS F%d, F%d, F16", most, t[0]) // scale = max/127
	a.i("FMOVS F16, %d(R1)", actScale)
	a.i("FDIVS F%d, F%d, F17", t[0], most) // 127/max
	a.op("fminnm", "4s", 17, 17, largest)
	for i := range x {
		a.by("fmul", x[i], x[i], 17, 0)
		a.to("fcvtns", x[i], x[i])
	}
	q := actSum + 4*sums
	for i := range v(4) {
		a.to("xtn", t[i], x[2*i])
		a.to("xtn2", t[i], x[2*i+1])
		a.to("xtn8", t[i], t[i])
		a.i("FMOVD F%d, %d(R1)", t[i], q+8*int(i))
	}
	for h := range sums {
		part := x[8/sums*h:][:8/sums]
		tree("add", part)
		a.across("addv", part[0], part[0])
		if minima {
			a.to("scvtf", x[0], x[0])
			a.i("FMULS F16, F%d, F%d", x[0], x[0])
			a.i("FMOVS F%d, %d(R1)", x[0], actSum)
			continue
		}
		a.i("FMOVS F%d, R4", part[0])
		a.i("MULW R3, R4, R4")
		a.i("MOVW R4, %d(R1)", actSum+4*h)
	}
	a.i("ADD $%d, R1", q+32)
	a.i("ADD $128, R2")
	a.i("SUBS $32, R0")
	a.i("BNE loop")
	a.end()
}

func (a neon) toF16() {
	a.fn("toF16", "(n int, dst, x unsafe.Pointer)")
	a.args("n:R0", "dst:R1", "x:R2")
	a.every(func() {
		a.load(0, "R2", run(0, 4)...)
		a.to("fcvtn", 4, 0)
		a.to("fcvtn2", 4, 1)
		a.to("fcvtn", 5, 2)
		a.to("fcvtn2", 5, 3)
		a.store(0, "R1", 4, 5)
		a.i("ADD $32, R1")
	}, 64, "R2")
	a.end()
}

// prefetch asks for n bytes into the second cache, line by line of 64 bytes.
func (a neon) prefetch() {
	a.fn("prefetch", "(n int, p unsafe.Pointer)")
	a.args("n:R0", "p:R1")
	a.label("loop")
	a.i("PRFM (R1), PLDL2KEEP")
	a.i("ADD $64, R1")
	a.i("SUBS $64, R0")
	a.i("BGT loop")
	a.end()
}

// neonVectors are the kernels on one row of activations.
func neonVectors() *asm {
	a := newNeon("neon")
	a.prefetch()
	a.add()
	a.sumSquares()
	a.scaleMul()
	a.scaleMax()
	a.expSum()
	a.scaleAll()
	a.siluMul()
	a.ropeHalves()
	a.ropeInterleaved()
	a.quantize("quantizeBias", 1, false)
	a.quantize("quantizeSum", 1, true)
	a.quantize("quantizeHalves", 2, false)
	a.toF16()
	return a.asm
}
