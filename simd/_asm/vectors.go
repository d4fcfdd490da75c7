package main

import "math"

// Vector kernels take any n: the last lanes are masked by K1.

// forEach runs body for every 16 elements that reg counts and once more, masked,
// for what is left. body gets "" and "", or the mask register as an operand and
// the suffix that clears the other lanes of a load; step moves on.
func (a *asm) forEach(label, reg string, body func(mask, zero string), step func()) {
	a.label(label)
	a.i("CMPQ %s, $16", reg)
	a.i("JLT %sTail", label)
	body("", "")
	step()
	a.i("SUBQ $16, %s", reg)
	a.i("JMP %s", label)
	a.label(label + "Tail")
	a.i("TESTQ %s, %s", reg, reg)
	a.i("JZ %sDone", label)
	a.i("MOVL $0xffff, R13")
	a.i("BZHIL %s, R13, R13", reg) // (1 << n) - 1
	a.i("KMOVW R13, K1")
	body("K1, ", ".Z")
	a.label(label + "Done")
}

// forward moves registers on by one vector of floats.
func (a *asm) forward(regs ...string) func() {
	return func() {
		for _, r := range regs {
			a.i("ADDQ $64, %s", r)
		}
	}
}

// fold combines the 16 lanes of Zz in lane 0: lane i with i+8, then with i+4,
// i+2, i+1.
func (a *asm) fold(op string, z, t int) {
	a.i("VEXTRACTF64X4 $1, Z%d, Y%d", z, t)
	a.i("%s Y%d, Y%d, Y%d", op, t, z, z)
	a.i("VEXTRACTF128 $1, Y%d, X%d", z, t)
	a.i("%s X%d, X%d, X%d", op, t, z, z)
	a.i("VPERMILPS $0x4e, X%d, X%d", z, t)
	a.i("%s X%d, X%d, X%d", op, t, z, z)
	a.i("VPERMILPS $0xb1, X%d, X%d", z, t)
	a.i("%s X%d, X%d, X%d", op, t, z, z)
}

func (a *asm) add() {
	a.fn("add", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.forEach("loop", "CX", func(m, z string) {
		a.i("VMOVUPS%s (DI), %sZ0", z, m)
		a.i("VMOVUPS%s (SI), %sZ1", z, m)
		a.i("VADDPS Z1, Z0, Z0")
		a.i("VMOVUPS Z0, %s(DI)", m)
	}, a.forward("DI", "SI"))
	a.ret()
}

// sumSquares: lane i sums x[16j+i]² by FMA; the lanes are folded.
func (a *asm) sumSquares() {
	a.fn("sumSquares", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.zero(1)
	a.forEach("loop", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ1", z, m)
		a.i("VFMADD231PS Z1, Z1, Z0")
	}, a.forward("SI"))
	a.fold("VADDPS", 0, 1)
	a.i("VMOVSS X0, (DI)")
	a.ret()
}

// scaleMul: dst = (x·s)·w.
func (a *asm) scaleMul() {
	a.fn("scaleMul", "(dst, x, w, s unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "w:BX", "s:AX", "n:CX")
	a.i("VBROADCASTSS (AX), Z31")
	a.forEach("loop", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ0", z, m)
		a.i("VMOVUPS%s (BX), %sZ1", z, m)
		a.i("VMULPS Z31, Z0, Z0")
		a.i("VMULPS Z1, Z0, Z0")
		a.i("VMOVUPS Z0, %s(DI)", m)
	}, a.forward("DI", "SI", "BX"))
	a.ret()
}

// Registers of e^x: Cephes expf (netlib.org/cephes, single/expf.c), x = n·ln 2 +
// r with ln 2 in two parts and a polynomial in r.
const (
	expLog2e, expHi, expLo, expC0 = 16, 17, 18, 19
	expOne, expMin, expMax        = 25, 26, 27
)

func (a *asm) expConstants() {
	for i, c := range []float32{math.Log2E, 0.693359375, -2.12194440e-4,
		1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
		1, -87.3, 88.7} {
		a.broadcast(math.Float32bits(c), expLog2e+i)
	}
}

// exp: Zz = e^Zz, using t1, t2, t3. Zz is the last source of the comparisons, so
// that a NaN stays one.
func (a *asm) exp(z, t1, t2, t3 int) {
	a.i("VMINPS Z%d, Z%d, Z%d", z, expMax, z)
	a.i("VMAXPS Z%d, Z%d, Z%d", z, expMin, z)
	a.i("VMULPS Z%d, Z%d, Z%d", expLog2e, z, t1)
	a.i("VRNDSCALEPS $8, Z%d, Z%d", t1, t1)
	a.i("VFNMADD231PS Z%d, Z%d, Z%d", expHi, t1, z)
	a.i("VFNMADD231PS Z%d, Z%d, Z%d", expLo, t1, z)
	a.i("VMOVAPS Z%d, Z%d", expC0, t2)
	for c := expC0 + 1; c < expOne; c++ {
		a.i("VFMADD213PS Z%d, Z%d, Z%d", c, z, t2)
	}
	a.i("VMULPS Z%d, Z%d, Z%d", z, z, t3)
	a.i("VADDPS Z%d, Z%d, Z%d", expOne, z, z)
	a.i("VFMADD231PS Z%d, Z%d, Z%d", t3, t2, z)
	a.i("VSCALEFPS Z%d, Z%d, Z%d", t1, z, z)
}

// softmax: x = exp(x·scale - max) / sum.
func (a *asm) softmax() {
	a.fn("softmax", "(x, scale unsafe.Pointer, n int)")
	a.load("x:SI", "scale:AX", "n:CX")
	a.i("MOVQ SI, DI")
	a.i("MOVQ CX, DX")
	a.i("VBROADCASTSS (AX), Z31")
	a.broadcast(0xff800000, 0) // -Inf
	a.forEach("max", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ1", z, m)
		a.i("VMULPS Z31, Z1, Z1")
		a.i("VMAXPS Z0, Z1, %sZ0", m)
		a.i("VMOVUPS Z1, %s(SI)", m)
	}, a.forward("SI"))
	a.fold("VMAXPS", 0, 1)
	a.i("VBROADCASTSS X0, Z0")
	a.expConstants()
	a.i("VPXORD Z1, Z1, Z1")
	a.i("MOVQ DI, SI")
	a.i("MOVQ DX, CX")
	a.forEach("exp", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ2", z, m)
		a.i("VSUBPS Z0, Z2, Z2")
		a.exp(2, 3, 4, 5)
		a.i("VMOVUPS Z2, %s(SI)", m)
		a.i("VADDPS Z2, Z1, %sZ1", m)
	}, a.forward("SI"))
	a.fold("VADDPS", 1, 2)
	a.i("VDIVSS X1, X%d, X1", expOne)
	a.i("VBROADCASTSS X1, Z1")
	a.forEach("norm", "DX", func(m, z string) {
		a.i("VMOVUPS%s (DI), %sZ2", z, m)
		a.i("VMULPS Z1, Z2, Z2")
		a.i("VMOVUPS Z2, %s(DI)", m)
	}, a.forward("DI"))
	a.ret()
}

// siluMul: dst = gate/(1+exp(-gate))·up.
func (a *asm) siluMul() {
	a.fn("siluMul", "(dst, gate, up unsafe.Pointer, n int)")
	a.load("dst:DI", "gate:SI", "up:BX", "n:CX")
	a.expConstants()
	a.i("VPXORD Z30, Z30, Z30")
	a.forEach("loop", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ0", z, m)
		a.i("VMOVUPS%s (BX), %sZ1", z, m)
		a.i("VSUBPS Z0, Z30, Z2")
		a.exp(2, 3, 4, 5)
		a.i("VADDPS Z%d, Z2, Z2", expOne)
		a.i("VDIVPS Z2, Z0, Z0")
		a.i("VMULPS Z1, Z0, Z0")
		a.i("VMOVUPS Z0, %s(DI)", m)
	}, a.forward("DI", "SI", "BX"))
	a.ret()
}

// ropeHalves: x0, x1 = x0·c - x1·s, x1·c + x0·s with x1 = x0[n:].
func (a *asm) ropeHalves() {
	a.fn("ropeHalves", "(x, cos, sin unsafe.Pointer, n int)")
	a.load("x:SI", "cos:AX", "sin:BX", "n:CX")
	a.i("LEAQ (SI)(CX*4), DI")
	a.forEach("loop", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ0", z, m)
		a.i("VMOVUPS%s (DI), %sZ1", z, m)
		a.i("VMOVUPS%s (AX), %sZ2", z, m)
		a.i("VMOVUPS%s (BX), %sZ3", z, m)
		a.i("VMULPS Z3, Z1, Z4")
		a.i("VFMSUB231PS Z2, Z0, Z4")
		a.i("VMULPS Z3, Z0, Z5")
		a.i("VFMADD231PS Z2, Z1, Z5")
		a.i("VMOVUPS Z4, %s(SI)", m)
		a.i("VMOVUPS Z5, %s(DI)", m)
	}, a.forward("SI", "DI", "AX", "BX"))
	a.ret()
}

// ropeInterleaved: pairs x[2i], x[2i+1]; eight cosines and sines serve a vector
// of sixteen elements.
func (a *asm) ropeInterleaved() {
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

// quantize writes activation blocks; n is a multiple of 32. The largest
// magnitude is found on integers, where a NaN is larger than all numbers; the
// factor 127/max is cut to the largest float32, which is right for zeros too.
func (a *asm) quantize(name string, minima bool) {
	a.fn(name, "(dst, x unsafe.Pointer, n, bias int)")
	a.load("dst:DI", "x:SI", "n:CX", "bias:DX")
	a.broadcast(0x7fffffff, 31)
	a.broadcast(math.Float32bits(127), 30)
	a.broadcast(math.Float32bits(math.MaxFloat32), 29)
	a.label("loop")
	a.i("VMOVUPS (SI), Z0")
	a.i("VMOVUPS 64(SI), Z1")
	a.i("VPANDD Z31, Z0, Z2")
	a.i("VPANDD Z31, Z1, Z3")
	a.i("VPMAXSD Z3, Z2, Z2")
	a.fold("VPMAXSD", 2, 3)
	a.i("VDIVSS X30, X2, X4") // scale = max/127
	a.i("VMOVSS X4, (DI)")
	a.i("VDIVSS X2, X30, X5") // 127/max
	a.i("VMINSS X29, X5, X5")
	a.i("VBROADCASTSS X5, Z5")
	a.i("VMULPS Z5, Z0, Z0")
	a.i("VMULPS Z5, Z1, Z1")
	a.i("VCVTPS2DQ Z0, Z0")
	a.i("VCVTPS2DQ Z1, Z1")
	a.i("VPMOVDB Z0, X2")
	a.i("VPMOVDB Z1, X3")
	a.i("VMOVDQU X2, %d(DI)", actQ)
	a.i("VMOVDQU X3, %d(DI)", actQ+16)
	a.i("VPADDD Z1, Z0, Z0")
	a.fold("VPADDD", 0, 1)
	if minima {
		a.i("VCVTDQ2PS X0, X0")
		a.i("VMULSS X4, X0, X0")
		a.i("VMOVSS X0, %d(DI)", actSum)
	} else {
		a.i("VMOVD X0, R8")
		a.i("IMULL DX, R8")
		a.i("MOVL R8, %d(DI)", actSum)
	}
	a.i("ADDQ $%d, DI", actBlock)
	a.i("ADDQ $128, SI")
	a.i("SUBQ $32, CX")
	a.i("JNZ loop")
	a.ret()
}

func (a *asm) toF16() {
	a.fn("toF16", "(dst, x unsafe.Pointer, n int)")
	a.load("dst:DI", "x:SI", "n:CX")
	a.forEach("loop", "CX", func(m, z string) {
		a.i("VMOVUPS%s (SI), %sZ0", z, m)
		a.i("VCVTPS2PH $0, Z0, Y0")
		a.i("VMOVDQU16 Y0, %s(DI)", m)
	}, func() { a.i("ADDQ $32, DI"); a.i("ADDQ $64, SI") })
	a.ret()
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
	a.ropeInterleaved()
	a.quantize("quantizeBias", false)
	a.quantize("quantizeSum", true)
	a.toF16()
	a.toBF16()
}
