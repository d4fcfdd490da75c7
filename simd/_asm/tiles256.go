package main

import (
	"fmt"
	"math"
)

// Tiles of 256 bits: sixteen lanes are two vectors, activations are broadcast by
// an instruction of their own, constants lie in memory, and sixteen registers
// hold few rows of both vectors or more rows of one.

var (
	floatRows256 = []int{1, 2, 3, 4, 6}
	exactRows256 = []int{1, 2, 3, 4, 8, 12}
	int8Rows256  = []int{1, 2, 3, 4, 6}
)

// offsetReg is 32 times the vector that a tile of one vector at once computes,
// headReg brings the address of that vector's weights back to its 16-bit scales.
const offsetReg, headReg = "SI", "R11"

// beginTile256 begins a tile that computes width of the panel's two vectors at
// once: one after the other where width is 1.
func (a *asm) beginTile256(name string, mr, width int) {
	a.fn(fmt.Sprintf("%sx%d", name, mr), tileArgs)
	if width == 1 {
		a.i("XORL %s, %s", offsetReg, offsetReg)
		a.label("vector")
	}
	a.loadTile()
	if width == 1 {
		a.i("ADDQ %s, %s", offsetReg, panelReg)
		a.i("ADDQ %s, %s", offsetReg, cReg)
		a.i("MOVQ %s, %s", offsetReg, headReg)
		a.i("SHRQ $1, %s", headReg)
		a.i("NEGQ %s", headReg)
	}
	a.start(mr, width)
}

func (a *asm) endTile256(mr, width int) {
	a.finish(mr, width)
	if width == 1 {
		a.i("ADDQ $32, %s", offsetReg)
		a.i("CMPQ %s, $%d", offsetReg, laneBytes)
		a.i("JLT vector")
	}
	a.ret()
}

// floatTile256 takes n, a multiple of floatSteps, elements of k.
func (a *asm) floatTile256(kind floatKind, mr int) {
	const floatSteps, w, x = 8, 12, 14
	a.beginTile256(kind.name, mr, 2)
	upper := ""
	if kind.name == "bf16" {
		upper = a.constant(0xffff0000, w)
	}
	a.label("loop")
	for k := range floatSteps {
		for p := range 2 {
			switch kind.name {
			case "f32":
				a.i("VMOVUPS %s, Y%d", mem{disp: k*64 + p*32, base: panelReg}, w+p)
			case "f16":
				a.i("VCVTPH2PS %s, Y%d", mem{disp: k*32 + p*16, base: panelReg}, w+p)
			case "bf16":
				a.i("VMOVDQU %s, Y%d", mem{disp: k/2*64 + p*32, base: panelReg}, w+p)
				if k%2 == 0 {
					a.i("VPSLLD $16, Y%d, Y%d", w+p, w+p)
				} else {
					a.i("VPAND %s, Y%d, Y%d", upper, w+p, w+p)
				}
			}
		}
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x)
			for p := range 2 {
				a.i("VFMADD231PS Y%d, Y%d, Y%d", w+p, x, mr*p+m)
			}
		}
	}
	a.next(mr, 1, floatSteps*kind.xBytes, floatSteps*kind.wBytes, floatSteps)
	a.endTile256(mr, 2)
}

// head addresses byte off of a header's part p.
func head(off, p, width int) mem {
	if width == 2 {
		return mem{disp: off + 16*p, base: panelReg}
	}
	return mem{off, panelReg, headReg, 1}
}

// exactTile256 is exactTile.
func (a *asm) exactTile256(q quant, mr int) {
	width := 2
	if mr > 4 {
		width = 1
	}
	a.beginTile256("exact"+q.name, mr, width)
	x, w, offset, scale := 15, 15-width, 15-2*width, 15-3*width
	mask := a.constant(q.mask, w)
	neg := a.constant(math.Float32bits(-q.bias), w)
	a.label("loop")
	for p := range width {
		a.i("VCVTPH2PS %s, Y%d", head(0, p, width), scale+p)
		if q.minima {
			a.i("VCVTPH2PS %s, Y%d", head(32, p, width), offset+p)
		} else {
			a.i("VMULPS %s, Y%d, Y%d", neg, scale+p, offset+p)
		}
	}
	k := 0
	for h := range q.halves() {
		for g := range q.groups() {
			for i := range 4 {
				for p := range width {
					shift := 8*i + 4*h
					a.i("VMOVDQU %s, Y%d", mem{disp: q.header + laneBytes*g + 32*p, base: panelReg}, w+p)
					if shift != 0 {
						a.i("VPSRLD $%d, Y%d, Y%d", shift, w+p, w+p)
					}
					if shift+q.bits != 32 {
						a.i("VPAND %s, Y%d, Y%d", mask, w+p, w+p)
					}
					a.i("VCVTDQ2PS Y%d, Y%d", w+p, w+p)
					a.i("VFMADD213PS Y%d, Y%d, Y%d", offset+p, scale+p, w+p)
				}
				for m := range mr {
					a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x)
					for p := range width {
						a.i("VFMADD231PS Y%d, Y%d, Y%d", w+p, x, mr*p+m)
					}
				}
				k++
			}
		}
	}
	a.next(mr, 1, 32*4, q.blockBytes(), 1)
	a.endTile256(mr, width)
}

// int8Tile256 is int8Tile by VPMADDUBSW, which adds two products of an unsigned
// and a signed byte in 16 bits and saturates.
//
// q - 128 of Q8_0 is in [-128, 127] and an activation in [-127, 127]. One gives its
// magnitude, up to 128, and its sign goes to the other: two products are at most
// 2·128·127 = 32512 < 1<<15, and pairs of them are added in 32 bits. The bias of
// the activations is not needed.
//
// q of four bits is unsigned itself: a 16-bit sum of a whole block is at most
// 16·15·127 = 30480 < 1<<15.
func (a *asm) int8Tile256(q quant, mr int) {
	width := 2
	if mr > 3 {
		width = 1
	}
	a.beginTile256("int8"+q.name, mr, width)
	const x, other, w = 15, 14, 13
	ones := a.constant(0x00010001, x)
	nibbles, flip := a.constant(0x0f0f0f0f, x), a.constant(0x80808080, x)
	sum := func(m, p int) int { return mr*(width+p) + m }
	dot8 := func(p, g int) {
		a.i("VMOVDQU %s, Y%d", mem{disp: q.header + laneBytes*g + 32*p, base: panelReg}, w)
		a.i("VPXOR %s, Y%d, Y%d", flip, w, w)
		a.i("VPABSB Y%d, Y%d", w, other)
		for m := range mr {
			a.i("VPBROADCASTD %s, Y%d", row(m, actQ+4*g), x)
			a.i("VPSIGNB Y%d, Y%d, Y%d", w, x, x)
			a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, other, x)
			if g == 0 {
				a.i("VPMADDWD %s, Y%d, Y%d", ones, x, sum(m, p))
				continue
			}
			a.i("VPMADDWD %s, Y%d, Y%d", ones, x, x)
			a.i("VPADDD Y%d, Y%d, Y%d", x, sum(m, p), sum(m, p))
		}
	}
	dot4 := func(p, g int) {
		a.i("VMOVDQU %s, Y%d", mem{disp: q.header + laneBytes*g + 32*p, base: panelReg}, w)
		a.i("VPSRLD $4, Y%d, Y%d", w, other)
		a.i("VPAND %s, Y%d, Y%d", nibbles, w, w)
		a.i("VPAND %s, Y%d, Y%d", nibbles, other, other)
		for h, z := range []int{w, other} {
			for m := range mr {
				a.i("VPBROADCASTD %s, Y%d", row(m, actQ+4*g+16*h), x)
				if g == 0 && h == 0 {
					a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, z, sum(m, p))
					continue
				}
				a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, z, x)
				a.i("VPADDW Y%d, Y%d, Y%d", x, sum(m, p), sum(m, p))
			}
		}
	}
	a.label("loop")
	for p := range width {
		for g := range q.groups() {
			if q.bits == 8 {
				dot8(p, g)
			} else {
				dot4(p, g)
			}
		}
		if q.bits == 4 {
			for m := range mr {
				a.i("VPMADDWD %s, Y%d, Y%d", ones, sum(m, p), sum(m, p))
			}
		}
	}
	for p := range width {
		for m := range mr {
			if q.bits == 4 && !q.minima {
				a.i("VPBROADCASTD %s, Y%d", row(m, actSum), x)
				a.i("VPADDD Y%d, Y%d, Y%d", x, sum(m, p), sum(m, p))
			}
			a.i("VCVTDQ2PS Y%d, Y%d", sum(m, p), sum(m, p))
		}
		if q.minima {
			a.i("VCVTPH2PS %s, Y%d", head(32, p, width), w)
			for m := range mr {
				a.i("VBROADCASTSS %s, Y%d", row(m, actSum), x)
				a.i("VFMADD231PS Y%d, Y%d, Y%d", x, w, mr*p+m)
			}
		}
		a.i("VCVTPH2PS %s, Y%d", head(0, p, width), w)
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, actScale), x)
			a.i("VMULPS Y%d, Y%d, Y%d", x, w, x)
			a.i("VFMADD231PS Y%d, Y%d, Y%d", x, sum(m, p), mr*p+m)
		}
	}
	a.next(mr, 1, actBlock, q.blockBytes(), 1)
	a.endTile256(mr, width)
}
