package main

import (
	"fmt"
	"math"
	"slices"
)

// Vector kernels take any n. Their loops are written for a part of 16 elements:
// registers 0 to 7 are its own, z+8 is what register z is in the second part,
// and what lies beyond the last element is masked by K1. Without such masks it is
// copied to the stack and back, for a processor may fault where VMASKMOVPS leaves
// elements out (AMD64 manual vol. 4), and register 15 says which lanes are live.

// part says which elements the body of a loop is for.
type part struct {
	number int
	masked bool
}

const maskReg = 15

// Copies of a tail: what is read, zeros beyond the last element, and what is
// written.
const (
	tailIn, tailOut = 0, 32
	tailFrame       = 64
)

// rows begins a kernel that forEach loops in.
func (a *asm) rows(name, sig string) {
	if a.parts > 1 {
		a.frame = tailFrame
	}
	a.fn(name, sig)
	a.frame = 0
}

// forEach runs body for every 16 elements that reg counts and once more, masked,
// for what is left; step moves on.
func (a *asm) forEach(label, reg string, body func(), step func()) {
	a.label(label)
	a.i("CMPQ %s, $16", reg)
	a.i("JLT %sTail", label)
	for p := range a.parts {
		a.part = part{p, false}
		body()
	}
	step()
	a.i("SUBQ $16, %s", reg)
	a.i("JMP %s", label)
	a.label(label + "Tail")
	a.i("TESTQ %s, %s", reg, reg)
	a.i("JZ %sDone", label)
	if a.parts == 1 {
		a.i("MOVL $0xffff, R13")
		a.i("BZHIL %s, R13, R13", reg) // (1 << n) - 1
		a.i("KMOVW R13, K1")
	} else {
		a.i("SHLQ $2, %s", reg)
		a.i("LEAQ %s, R13", a.words("tail", append(slices.Repeat([]uint32{0xffffffff}, 16), make([]uint32, 16)...)))
		a.i("ADDQ $64, R13")
		a.i("SUBQ %s, R13", reg)
	}
	for p := range a.parts {
		a.part = part{p, true}
		if a.parts > 1 {
			if p > 0 {
				a.i("CMPQ %s, $%d", reg, p*a.bytes())
				a.i("JLE %sDone", label)
			}
			a.i("VMOVDQU %d(R13), @%d", p*a.bytes(), maskReg)
			a.i("LEAQ %d(%s), R10", -p*a.bytes(), reg)
		}
		body()
	}
	a.label(label + "Done")
}

// read sets register z to the part's floats at p, and what is masked to 0.
func (a *asm) read(p string, z int) {
	m := mem{disp: a.part.number * a.bytes(), base: p}
	switch {
	case !a.part.masked:
		a.i("VMOVUPS %s, @%d", m, z)
	case a.parts == 1:
		a.i("VMOVUPS.Z %s, K1, @%d", m, z)
	default:
		a.i("VPXOR @%d, @%d, @%d", z, z, z)
		a.i("VMOVUPS @%d, %d(SP)", z, tailIn)
		a.copyTail(m, mem{disp: tailIn, base: "SP"})
		a.i("VMOVUPS %d(SP), @%d", tailIn, z)
	}
}

// write sets the part's floats at p.
func (a *asm) write(z int, p string) {
	m := mem{disp: a.part.number * a.bytes(), base: p}
	switch {
	case !a.part.masked:
		a.i("VMOVUPS @%d, %s", z, m)
	case a.parts == 1:
		a.i("VMOVUPS @%d, K1, %s", z, m)
	default:
		a.i("VMOVUPS @%d, %d(SP)", z, tailOut)
		a.copyTail(mem{disp: tailOut, base: "SP"}, m)
	}
}

// copyTail copies the part's floats, R10 bytes of them and at most a vector.
func (a *asm) copyTail(from, to mem) {
	a.copies++
	loop, next := fmt.Sprintf("copy%d", a.copies), fmt.Sprintf("copied%d", a.copies)
	a.i("XORL R9, R9")
	a.label(loop)
	a.i("MOVL %d(%s)(R9*1), R11", from.disp, from.base)
	a.i("MOVL R11, %d(%s)(R9*1)", to.disp, to.base)
	a.i("ADDQ $4, R9")
	a.i("CMPQ R9, $%d", a.bytes())
	a.i("JGE %s", next)
	a.i("CMPQ R9, R10")
	a.i("JLT %s", loop)
	a.label(next)
}

// own is the register of accumulator z for the part.
func (a *asm) own(z int) int { return z + 8*a.part.number }

// into accumulates: z = op(x, z) with z of the part, where nothing is masked.
func (a *asm) into(op string, x, z, t int) {
	z = a.own(z)
	switch {
	case !a.part.masked:
		a.i("%s @%d, @%d, @%d", op, z, x, z)
	case a.parts == 1:
		a.i("%s @%d, @%d, K1, @%d", op, z, x, z)
	default:
		a.i("%s @%d, @%d, @%d", op, z, x, t)
		a.i("VBLENDVPS @%d, @%d, @%d, @%d", maskReg, t, z, z)
	}
}

// forward moves registers on by 16 floats.
func (a *asm) forward(regs ...string) func() {
	return func() {
		for _, r := range regs {
			a.i("ADDQ $64, %s", r)
		}
	}
}

// fold combines the 16 lanes of accumulator z in lane 0: lane i with i+8, then
// with i+4, i+2, i+1.
func (a *asm) fold(op string, z, t int) {
	if a.parts == 1 {
		a.i("VEXTRACTF64X4 $1, Z%d, Y%d", z, t)
		a.i("%s Y%d, Y%d, Y%d", op, t, z, z)
	} else {
		a.i("%s Y%d, Y%d, Y%d", op, z+8, z, z)
	}
	a.foldHalf(op, z, t)
}

// foldHalf is fold from 8 lanes on.
func (a *asm) foldHalf(op string, z, t int) {
	a.i("VEXTRACTF128 $1, Y%d, X%d", z, t)
	a.i("%s X%d, X%d, X%d", op, t, z, z)
	a.i("VPERMILPS $0x4e, X%d, X%d", z, t)
	a.i("%s X%d, X%d, X%d", op, t, z, z)
	a.i("VPERMILPS $0xb1, X%d, X%d", z, t)
	a.i("%s X%d, X%d, X%d", op, t, z, z)
}

// clear sets accumulator z to 0 in every part.
func (a *asm) clear(z int) {
	for p := range a.parts {
		a.zero(z+8*p, 1)
	}
}

func (a *asm) add() {
	a.rows("add", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.forEach("loop", "CX", func() {
		a.read("DI", 0)
		a.read("SI", 1)
		a.i("VADDPS @1, @0, @0")
		a.write(0, "DI")
	}, a.forward("DI", "SI"))
	a.ret()
}

// sumSquares: lane i sums x[16j+i]² by FMA; the lanes are folded.
func (a *asm) sumSquares() {
	a.rows("sumSquares", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.clear(0)
	a.forEach("loop", "CX", func() {
		a.read("SI", 1)
		a.i("VFMADD231PS @1, @1, @%d", a.own(0))
	}, a.forward("SI"))
	a.fold("VADDPS", 0, 1)
	a.i("VMOVSS X0, (DI)")
	a.ret()
}

// scaleMul: dst = (x·s)·w.
func (a *asm) scaleMul() {
	a.rows("scaleMul", "(dst, x, w, s unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "w:BX", "s:AX", "n:CX")
	a.i("VBROADCASTSS (AX), @12")
	a.forEach("loop", "CX", func() {
		a.read("SI", 0)
		a.read("BX", 1)
		a.i("VMULPS @12, @0, @0")
		a.i("VMULPS @1, @0, @0")
		a.write(0, "DI")
	}, a.forward("DI", "SI", "BX"))
	a.ret()
}

// expConsts are the constants of e^x: Cephes expf (netlib.org/cephes,
// single/expf.c), x = n·ln 2 + r with ln 2 in two parts and a polynomial in r.
type expConsts struct {
	log2e, hi, lo, one string
	poly               []string
}

// The argument of e^x is cut to what these registers hold.
const expMin, expMax = 13, 14

func (a *asm) expConstants() (c expConsts) {
	z := 15
	next := func(v float32) string { z++; return a.constant(math.Float32bits(v), z) }
	c.log2e, c.hi, c.lo, c.one = next(math.Log2E), next(0.693359375), next(-2.12194440e-4), next(1)
	for _, v := range []float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		c.poly = append(c.poly, next(v))
	}
	a.broadcast(math.Float32bits(-87.3), expMin)
	a.broadcast(math.Float32bits(88.7), expMax)
	return c
}

// exp: z = e^z, using t1, t2, t3. z is the last source of the comparisons, so
// that a NaN stays one. Between expMin and expMax the result is a normal number,
// and adding n to its exponent is exact, as VSCALEFPS is.
func (a *asm) exp(c expConsts, z, t1, t2, t3 int) {
	a.i("VMINPS @%d, @%d, @%d", z, expMax, z)
	a.i("VMAXPS @%d, @%d, @%d", z, expMin, z)
	a.i("VMULPS %s, @%d, @%d", c.log2e, z, t1)
	if a.parts == 1 {
		a.i("VRNDSCALEPS $8, @%d, @%d", t1, t1)
	} else {
		a.i("VROUNDPS $8, @%d, @%d", t1, t1)
	}
	a.i("VFNMADD231PS %s, @%d, @%d", c.hi, t1, z)
	a.i("VFNMADD231PS %s, @%d, @%d", c.lo, t1, z)
	a.i("VMOVAPS %s, @%d", c.poly[0], t2)
	for _, p := range c.poly[1:] {
		a.i("VFMADD213PS %s, @%d, @%d", p, z, t2)
	}
	a.i("VMULPS @%d, @%d, @%d", z, z, t3)
	a.i("VADDPS %s, @%d, @%d", c.one, z, z)
	a.i("VFMADD231PS @%d, @%d, @%d", t3, t2, z)
	if a.parts == 1 {
		a.i("VSCALEFPS @%d, @%d, @%d", t1, z, z)
		return
	}
	a.i("VCVTPS2DQ @%d, @%d", t1, t1)
	a.i("VPSLLD $23, @%d, @%d", t1, t1)
	a.i("VPADDD @%d, @%d, @%d", t1, z, z)
}

// softmax: x = exp(x·scale - max) / sum.
func (a *asm) softmax() {
	a.rows("softmax", "(x, scale unsafe.Pointer, n int)")
	a.load("x:SI", "scale:AX", "n:CX")
	a.i("MOVQ SI, DI")
	a.i("MOVQ CX, DX")
	a.i("VBROADCASTSS (AX), @12")
	for p := range a.parts {
		a.broadcast(0xff800000, 8*p) // -Inf
	}
	a.forEach("max", "CX", func() {
		a.read("SI", 1)
		a.i("VMULPS @12, @1, @1")
		a.write(1, "SI")
		a.into("VMAXPS", 1, 0, 2)
	}, a.forward("SI"))
	a.fold("VMAXPS", 0, 1)
	a.i("VBROADCASTSS X0, @0")
	c := a.expConstants()
	a.clear(1)
	a.i("MOVQ DI, SI")
	a.i("MOVQ DX, CX")
	a.forEach("exp", "CX", func() {
		a.read("SI", 2)
		a.i("VSUBPS @0, @2, @2")
		a.exp(c, 2, 3, 4, 5)
		a.write(2, "SI")
		a.into("VADDPS", 2, 1, 3)
	}, a.forward("SI"))
	a.fold("VADDPS", 1, 2)
	a.i("VMOVAPS %s, @2", c.one)
	a.i("VDIVSS X1, X2, X1")
	a.i("VBROADCASTSS X1, @1")
	a.forEach("norm", "DX", func() {
		a.read("DI", 2)
		a.i("VMULPS @1, @2, @2")
		a.write(2, "DI")
	}, a.forward("DI"))
	a.ret()
}

// siluMul: dst = gate/(1+exp(-gate))·up.
func (a *asm) siluMul() {
	a.rows("siluMul", "(dst, gate, up unsafe.Pointer, n int)")
	a.load("dst:DI", "gate:SI", "up:BX", "n:CX")
	c := a.expConstants()
	a.zero(12, 1)
	a.forEach("loop", "CX", func() {
		a.read("SI", 0)
		a.read("BX", 1)
		a.i("VSUBPS @0, @12, @2")
		a.exp(c, 2, 3, 4, 5)
		a.i("VADDPS %s, @2, @2", c.one)
		a.i("VDIVPS @2, @0, @0")
		a.i("VMULPS @1, @0, @0")
		a.write(0, "DI")
	}, a.forward("DI", "SI", "BX"))
	a.ret()
}

// ropeHalves: x0, x1 = x0·c - x1·s, x1·c + x0·s with x1 = x0[n:].
func (a *asm) ropeHalves() {
	a.rows("ropeHalves", "(x, cos, sin unsafe.Pointer, n int)")
	a.load("x:SI", "cos:AX", "sin:BX", "n:CX")
	a.i("LEAQ (SI)(CX*4), DI")
	a.forEach("loop", "CX", func() {
		a.read("SI", 0)
		a.read("DI", 1)
		a.read("AX", 2)
		a.read("BX", 3)
		a.i("VMULPS @3, @1, @4")
		a.i("VFMSUB231PS @2, @0, @4")
		a.i("VMULPS @3, @0, @5")
		a.i("VFMADD231PS @2, @1, @5")
		a.write(4, "SI")
		a.write(5, "DI")
	}, a.forward("SI", "DI", "AX", "BX"))
	a.ret()
}

// ropeInterleaved512: pairs x[2i], x[2i+1]; eight cosines and sines serve a vector
// of sixteen elements.
func (a *asm) ropeInterleaved512() {
	a.fn("ropeInterleaved", "(x, cos, sin unsafe.Pointer, n int)")
	a.load("x:SI", "cos:AX", "sin:BX", "n:CX")
	a.i("MOVQ $0x0303020201010000, R13")
	a.i("VMOVQ R13, X6")
	a.i("MOVQ $0x0707060605050404, R13")
	a.i("VPINSRQ $1, R13, X6, X6")
	a.i("VPMOVZXBD X6, Z30") // 0 0 1 1 … 7 7
	turn := func(mask2, mask1, zero string) {
		a.i("VMOVUPS%s (SI), %sZ0", zero, mask2)
		a.i("VMOVUPS%s (AX), %sY2", zero, mask1)
		a.i("VMOVUPS%s (BX), %sY3", zero, mask1)
		a.i("VPERMPS Z2, Z30, Z2")
		a.i("VPERMPS Z3, Z30, Z3")
		a.i("VPERMILPS $0xb1, Z0, Z1")
		a.i("VMULPS Z3, Z1, Z1")
		a.i("VFMADDSUB231PS Z2, Z0, Z1") // x·cos -+ its neighbour·sin
		a.i("VMOVUPS Z1, %s(SI)", mask2)
	}
	a.label("loop")
	a.i("CMPQ CX, $8")
	a.i("JLT tail")
	turn("", "", "")
	a.i("ADDQ $64, SI")
	a.i("ADDQ $32, AX")
	a.i("ADDQ $32, BX")
	a.i("SUBQ $8, CX")
	a.i("JMP loop")
	a.label("tail")
	a.i("TESTQ CX, CX")
	a.i("JZ done")
	a.i("MOVL $0xffff, R13")
	a.i("BZHIL CX, R13, R8")
	a.i("KMOVW R8, K1")
	a.i("ADDQ CX, CX")
	a.i("BZHIL CX, R13, R8")
	a.i("KMOVW R8, K2")
	turn("K2, ", "K1, ", ".Z")
	a.label("done")
	a.ret()
}

// ropeInterleaved256 takes four pairs at once, then one.
func (a *asm) ropeInterleaved256() {
	a.fn("ropeInterleaved", "(x, cos, sin unsafe.Pointer, n int)")
	a.load("x:SI", "cos:AX", "sin:BX", "n:CX")
	a.i("VMOVDQU %s, Y7", a.words("twice", []uint32{0, 0, 1, 1, 2, 2, 3, 3}))
	turn := func(reg string) {
		a.i("VPERMILPS $0xb1, %s0, %s1", reg, reg)
		a.i("VMULPS %s3, %s1, %s1", reg, reg, reg)
		a.i("VFMADDSUB231PS %s2, %s0, %s1", reg, reg, reg) // x·cos -+ its neighbour·sin
	}
	a.label("loop")
	a.i("CMPQ CX, $4")
	a.i("JLT tail")
	a.i("VMOVUPS (SI), Y0")
	a.i("VMOVUPS (AX), X2")
	a.i("VMOVUPS (BX), X3")
	a.i("VPERMPS Y2, Y7, Y2")
	a.i("VPERMPS Y3, Y7, Y3")
	turn("Y")
	a.i("VMOVUPS Y1, (SI)")
	a.i("ADDQ $32, SI")
	a.i("ADDQ $16, AX")
	a.i("ADDQ $16, BX")
	a.i("SUBQ $4, CX")
	a.i("JMP loop")
	a.label("tail")
	a.i("TESTQ CX, CX")
	a.i("JZ done")
	a.i("VMOVQ (SI), X0")
	a.i("VBROADCASTSS (AX), X2")
	a.i("VBROADCASTSS (BX), X3")
	turn("X")
	a.i("VMOVQ X1, (SI)")
	a.i("ADDQ $8, SI")
	a.i("ADDQ $4, AX")
	a.i("ADDQ $4, BX")
	a.i("DECQ CX")
	a.i("JMP tail")
	a.label("done")
	a.ret()
}

// quantize writes activation blocks; n is a multiple of 32. The largest
// magnitude is found on integers, where a NaN is larger than all numbers; the
// factor 127/max is cut to the largest float32, which is right for zeros too.
func (a *asm) quantize(name string, block int) {
	q := block - 32
	a.fn(name, "(dst, x unsafe.Pointer, n, bias int)")
	a.load("dst:DI", "x:SI", "n:CX", "bias:DX")
	const magnitude, low, top, limit = 15, 14, 13, 12
	vectors := 2 * a.parts // of a block: registers 0 on
	a.broadcast(0x7fffffff, magnitude)
	a.broadcast(math.Float32bits(127), top)
	a.broadcast(math.Float32bits(math.MaxFloat32), limit)
	if a.parts > 1 {
		a.broadcast(0xff, low)
		a.i("VMOVDQU %s, Y11", a.words("deal", []uint32{0, 4, 1, 5, 2, 6, 3, 7}))
	}
	and := map[int]string{1: "VPANDD", 2: "VPAND"}[a.parts]
	// tree combines the vectors from register z on in lane 0 of z.
	tree := func(op string, z int) {
		for n := vectors / 2; n >= 1; n /= 2 {
			for v := range n {
				a.i("%s @%d, @%d, @%d", op, z+v+n, z+v, z+v)
			}
		}
		if a.parts == 1 {
			a.fold(op, z, z+1)
			return
		}
		a.foldHalf(op, z, z+1)
	}
	a.label("loop")
	for v := range vectors {
		a.i("VMOVUPS %d(SI), @%d", v*a.bytes(), v)
		a.i("%s @%d, @%d, @%d", and, magnitude, v, 4+v)
	}
	tree("VPMAXSD", 4)
	a.i("VDIVSS X%d, X4, X8", top) // scale = max/127
	a.i("VMOVSS X8, (DI)")
	a.i("VDIVSS X4, X%d, X5", top) // 127/max
	a.i("VMINSS X%d, X5, X5", limit)
	a.i("VBROADCASTSS X5, @5")
	for v := range vectors {
		a.i("VMULPS @5, @%d, @%d", v, v)
		a.i("VCVTPS2DQ @%d, @%d", v, v)
	}
	if a.parts == 1 {
		for v := range vectors {
			a.i("VPMOVDB Z%d, X4", v)
			a.i("VMOVDQU X4, %d(DI)", q+16*v)
		}
	} else {
		a.packBytes(low, 11, "DI", q)
	}
	put := func(z, at int) { // lane 0, times bias
		a.i("VMOVD X%d, R8", z)
		a.i("IMULL DX, R8")
		a.i("MOVL R8, %d(DI)", at)
	}
	switch name {
	case "quantizeBias":
		tree("VPADDD", 0)
		put(0, actSum)
	case "quantizeSum":
		tree("VPADDD", 0)
		a.i("VCVTDQ2PS X0, X0")
		a.i("VMULSS X8, X0, X0")
		a.i("VMOVSS X0, %d(DI)", actSum)
	case "quantizeHalves":
		for h := range 2 {
			z := h * a.parts
			if a.parts == 1 {
				a.fold("VPADDD", z, 2)
			} else {
				a.i("VPADDD Y%d, Y%d, Y%d", z+1, z, z)
				a.foldHalf("VPADDD", z, z+1)
			}
			put(z, actSum+4*h)
		}
	}
	a.i("ADDQ $%d, DI", block)
	a.i("ADDQ $128, SI")
	a.i("SUBQ $32, CX")
	a.i("JNZ loop")
	a.ret()
}

// packBytes writes the low bytes of the dwords of Y0 to Y3, by Y4 to Y7; low holds
// their mask and deal the places of what VPACKUSDW and VPACKUSWB mix.
func (a *asm) packBytes(low, deal int, base string, at int) {
	for v := range 4 {
		a.i("VPAND Y%d, Y%d, Y%d", low, v, 4+v)
	}
	a.i("VPACKUSDW Y5, Y4, Y4")
	a.i("VPACKUSDW Y7, Y6, Y6")
	a.i("VPACKUSWB Y6, Y4, Y4")
	a.i("VPERMD Y4, Y%d, Y4", deal)
	a.i("VMOVDQU Y4, %d(%s)", at, base)
}

func (a *asm) toF16() {
	a.rows("toF16", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	half := map[int]string{1: "Y0", 2: "X0"}[a.parts]
	a.forEach("loop", "CX", func() {
		a.read("SI", 0)
		a.i("VCVTPS2PH $0, @0, %s", half)
		m := mem{disp: a.part.number * a.bytes() / 2, base: "DI"}
		switch {
		case !a.part.masked:
			a.i("VMOVDQU %s, %s", half, m)
		case a.parts == 1:
			a.i("VMOVDQU16 Y0, K1, %s", m)
		default:
			a.writeHalves("loop", m)
		}
	}, func() { a.i("ADDQ $32, DI"); a.i("ADDQ $64, SI") })
	a.ret()
}

// writeHalves writes the part's 16-bit elements of X0 to m, CX/4 of the tail's
// first part or up to its end: eight, or four, two and one.
func (a *asm) writeHalves(label string, m mem) {
	n := func(name string) string { return fmt.Sprintf("%s%s%d", label, name, a.part.number) }
	if a.part.number == 0 {
		a.i("CMPQ CX, $32")
		a.i("JLT %s", n("Four"))
		a.i("VMOVDQU X0, %s", m)
		a.i("JMP %s", n("End"))
	}
	a.i("LEAQ %s, DI", m)
	for _, s := range []struct {
		name, next, move string
		size             int
	}{{"Four", "Two", "VMOVQ X0, (DI)", 8}, {"Two", "One", "VMOVD X0, (DI)", 4}, {"One", "End", "VPEXTRW $0, X0, (DI)", 2}} {
		a.label(n(s.name))
		a.i("TESTQ $%d, CX", 2*s.size)
		a.i("JZ %s", n(s.next))
		a.i("%s", s.move)
		a.i("VPSRLDQ $%d, X0, X0", s.size)
		a.i("ADDQ $%d, DI", s.size)
	}
	a.label(n("End"))
}

// toBF16 rounds n numbers, a multiple of 16.
func (a *asm) toBF16() {
	a.fn("toBF16", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.label("loop")
	a.vcvtneps2bf16(mem{base: "SI"}, 0)
	a.i("VMOVDQU Y0, (DI)")
	a.i("ADDQ $32, DI")
	a.i("ADDQ $64, SI")
	a.i("SUBQ $16, CX")
	a.i("JNZ loop")
	a.ret()
}

// prefetch asks for n bytes into the second cache: requests to the first one
// would fill its few buffers and hold up the loads.
func (a *asm) prefetch() {
	a.fn("prefetch", "(p unsafe.Pointer, n int)")
	a.load("p:SI", "n:CX")
	a.label("loop")
	a.i("PREFETCHT1 (SI)")
	a.i("ADDQ $64, SI")
	a.i("SUBQ $64, CX")
	a.i("JG loop")
	a.ret()
}

func (a *asm) vectors() {
	a.prefetch()
	a.add()
	a.sumSquares()
	a.scaleMul()
	a.softmax()
	a.siluMul()
	a.ropeHalves()
	if a.parts == 1 {
		a.ropeInterleaved512()
	} else {
		a.ropeInterleaved256()
	}
	a.quantize("quantizeBias", actBlock)
	a.quantize("quantizeSum", actBlock)
	a.quantize("quantizeHalves", actBlock+4)
	a.toF16()
	if a.parts == 1 {
		a.toBF16()
	}
}
