package main

import (
	"fmt"
	"strings"
)

// amxPeakLoops repeat one multiplication of tiles, four at a time, whose
// operands lie in four more. p is a tile configuration of 64 bytes, all eight
// tiles full, and 1 KB of values. Encodings are VEX, Intel SDM vol. 2.
func (a *asm) amxPeakLoops() {
	a.amxPeakLoop("amxPairs", "amxPairs is TDPBF16PS: 8,192 products of bfloat16.", "TDPBF16PS", 2, 0x5c)
	a.amxPeakLoop("amxBytes", "amxBytes is TDPBUSD: 16,384 products of bytes.", "TDPBUSD", 1, 0x5e)
}

// amxPeakLoop writes a loop of the product with this prefix field and opcode.
func (a *asm) amxPeakLoop(name, doc, op string, pp, opcode int) {
	a.fn(name, "(n int, p unsafe.Pointer)", doc)
	a.load("n:CX", "p:AX")
	code := func(what string, bytes ...int) {
		parts := make([]string, len(bytes))
		for i, b := range bytes {
			parts[i] = fmt.Sprintf("BYTE $0x%02x", b)
		}
		a.i("%s // %s", strings.Join(parts, "; "), what)
	}
	code("LDTILECFG (AX)", 0xc4, 0xe2, 0x78, 0x49, 0x00)
	a.i("LEAQ 64(AX), BX")
	a.i("MOVQ $64, DX")
	for t := range 4 {
		code(fmt.Sprintf("TILEZERO T%d", t), 0xc4, 0xe2, 0x7b, 0x49, 0xc0|t<<3)
		code(fmt.Sprintf("TILELOADD (BX)(DX*1), T%d", 4+t), 0xc4, 0xe2, 0x7b, 0x4b, 4|(4+t)<<3, 0x13)
	}
	a.label("loop")
	for t := range 4 {
		x, w := 4+t/2, 6+t%2
		code(fmt.Sprintf("%s T%d, T%d, T%d", op, w, x, t), 0xc4, 0xe2, (^w&15)<<3|pp, opcode, 0xc0|t<<3|x)
	}
	a.i("DECQ CX")
	a.i("JNZ loop")
	code("TILERELEASE", 0xc4, 0xe2, 0x78, 0x49, 0xc0)
	a.ret()
}
