package main

import "fmt"

// peakLoops are what shares of a limit are measured against: loops of one
// multiplying instruction on registers alone, and loops of loads.
func peakLoops() *asm {
	a := newAsm(&unit{name: "peak"})
	a.peakLoop("fma512", "fma512 is 16 lanes of float32 multiply-adds.", "Z", 24, 30, func(acc int) {
		a.i("VFMADD231PS Z30, Z31, Z%d", acc)
	})
	a.peakLoop("pairs512", "pairs512 is VDPBF16PS: 32 products of bfloat16.", "Z", 24, 30, func(acc int) {
		a.evexReg("VDPBF16PS", 0x52, 2, 2, acc, 31, 30)
	})
	a.peakLoop("bytes512", "bytes512 is VPDPBUSD: 64 products of bytes.", "Z", 24, 30, func(acc int) {
		a.i("VPDPBUSD Z30, Z31, Z%d", acc)
	})
	a.peakLoop("fma256", "fma256 is 8 lanes of float32 multiply-adds.", "Y", 12, 14, func(acc int) {
		a.i("VFMADD231PS Y14, Y15, Y%d", acc)
	})
	// Three instructions for 32 products: bytes to pairs, pairs to fours, a sum.
	a.peakLoop("bytes256", "bytes256 is VPMADDUBSW, VPMADDWD and VPADDD: 32 products of bytes.", "Y", 8, 14, func(acc int) {
		tmp := 8 + acc%4
		a.i("VPMADDUBSW Y14, Y15, Y%d", tmp)
		a.i("VPMADDWD Y13, Y%d, Y%d", tmp, tmp)
		a.i("VPADDD Y%d, Y%d, Y%d", tmp, acc, acc)
	})
	a.amxPeakLoops()
	a.readLoop("read512", "Z", "VPORQ", 64)
	a.readLoop("read256", "Y", "VPOR", 32)
	return a
}

// peakLoop repeats n times one step on each of accs accumulators. The operands,
// registers from and from+1 (and the one before, ones for VPMADDWD), are no
// zeros: those would cost less power.
func (a *asm) peakLoop(name, doc, reg string, accs, from int, step func(acc int)) {
	a.fn(name, "(n int)", doc)
	a.load("n:CX")
	set := func(r int, bits uint32) {
		a.i("MOVL $0x%08x, R13", bits)
		if reg == "Z" {
			a.i("VPBROADCASTD R13, Z%d", r)
			return
		}
		a.i("VMOVD R13, X%d", r)
		a.i("VPBROADCASTD X%d, Y%d", r, r)
	}
	set(from-1, 0x00010001)
	set(from, 0x3f8d4c2b)
	set(from+1, 0x3f7d71a3)
	for acc := range accs {
		if reg == "Z" {
			a.i("VMOVDQA32 Z%d, Z%d", from, acc)
		} else {
			a.i("VMOVDQA Y%d, Y%d", from, acc)
		}
	}
	a.label("loop")
	for acc := range accs {
		step(acc)
	}
	a.i("DECQ CX")
	a.i("JNZ loop")
	a.ret()
}

// readLoop reads n times eight registers' width.
func (a *asm) readLoop(name, reg, or string, width int) {
	a.fn(name, "(n int, p unsafe.Pointer)", fmt.Sprintf("%s reads n times %d bytes.", name, 8*width))
	a.load("n:CX", "p:AX")
	for r := range 8 {
		a.i("VPXOR X%d, X%d, X%d", r, r, r)
	}
	a.label("loop")
	for r := range 8 {
		a.i("%s %d(AX), %s%d, %s%d", or, r*width, reg, r, reg, r)
	}
	for line := 0; line < 8*width; line += 64 {
		a.i("PREFETCHT0 %d(AX)", 2048+line)
	}
	a.i("ADDQ $%d, AX", 8*width)
	a.i("DECQ CX")
	a.i("JNZ loop")
	a.ret()
}

// evexReg is evexMem with three registers.
func (a *asm) evexReg(name string, op, pp, mm, dst, src1, src2 int) {
	bit := func(x, n int) int { return x >> n & 1 }
	a.i("BYTE $0x62; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x // %s Z%d, Z%d, Z%d",
		(1-bit(dst, 3))<<7|(1-bit(src2, 4))<<6|(1-bit(src2, 3))<<5|(1-bit(dst, 4))<<4|mm,
		(^src1&0xf)<<3|1<<2|pp,
		2<<5|(1-bit(src1, 4))<<3,
		op, 3<<6|(dst&7)<<3|src2&7, name, src2, src1, dst)
}
