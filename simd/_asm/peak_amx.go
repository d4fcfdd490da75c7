package main

// amxPeakLoops repeat one multiplication of tiles, four at a time, whose
// operands lie in four more. p is a tile configuration of 64 bytes, all eight
// tiles full, and 1 KB of values.
func (a *asm) amxPeakLoops() {
	a.amxPeakLoop("amxPairs", "amxPairs is TDPBF16PS: 8,192 products of bfloat16.", "TDPBF16PS", ppF3, 0x5c)
	a.amxPeakLoop("amxBytes", "amxBytes is TDPBUSD: 16,384 products of bytes.", "TDPBUSD", pp66, 0x5e)
}

// amxPeakLoop writes a loop of the product with this prefix field and opcode.
func (a *asm) amxPeakLoop(name, doc, op string, pp, opcode int) {
	a.fn(name, "(n int, p unsafe.Pointer)", doc)
	a.load("n:CX", "p:AX")
	a.ldtilecfg("AX")
	a.i("LEAQ 64(AX), BX")
	a.i("MOVQ $64, DX")
	for t := range firstOperand {
		a.tilezero(t)
		a.tileload(mem{0, "BX", "DX", 1}, firstOperand+t, false)
	}
	a.label("loop")
	for t := range firstOperand {
		a.tdp(op, pp, opcode, firstOperand+2+t%2, firstOperand+t/2, t)
	}
	a.i("DECQ CX")
	a.i("JNZ loop")
	a.tilerelease()
	a.ret()
}
