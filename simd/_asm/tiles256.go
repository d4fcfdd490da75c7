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
	exactRows256 = []int{1, 2, 3, 4, 8} // more rows are served by decodeBlocks and F32
	int8Rows256  = []int{1, 2, 3, 4, 6} // of Q8_0 up to 4
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
		a.oneVector()
	}
	a.start(mr, width)
}

// oneVector moves what was read from the arguments on to the vector that is
// computed.
func (a *asm) oneVector() {
	a.i("ADDQ %s, %s", offsetReg, panelReg)
	a.i("ADDQ %s, %s", offsetReg, cReg)
	a.i("MOVQ %s, %s", offsetReg, headReg)
	a.i("SHRQ $1, %s", headReg)
	a.i("NEGQ %s", headReg)
}

// nextVector begins again with the next one.
func (a *asm) nextVector() {
	a.i("ADDQ $32, %s", offsetReg)
	a.i("CMPQ %s, $%d", offsetReg, laneBytes)
	a.i("JLT vector")
}

func (a *asm) endTile256(mr, width int) {
	a.finish(mr, width)
	if width == 1 {
		a.nextVector()
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

// decoder256 emits the decoding of blocks to float32, w = fma(q, scale, offset).
type decoder256 struct {
	*asm
	quant
	width         int
	w, offset, sc int // registers from these on, one for each vector
	mask, neg     string
}

// decoder takes width·3 registers below top.
func (a *asm) decoder(q quant, width, top int) decoder256 {
	return decoder256{a, q, width, top - width, top - 2*width, top - 3*width,
		a.constant(q.mask, 16), a.constant(math.Float32bits(-q.bias), 16)}
}

// head reads the block's scales and offsets.
func (d *decoder256) head() {
	for p := range d.width {
		d.i("VCVTPH2PS %s, Y%d", head(0, p, d.width), d.sc+p)
		if d.minima {
			d.i("VCVTPH2PS %s, Y%d", head(32, p, d.width), d.offset+p)
		} else {
			d.i("VMULPS %s, Y%d, Y%d", d.neg, d.sc+p, d.offset+p)
		}
	}
}

// weights decodes element k of the block.
func (d *decoder256) weights(k int) {
	n := 4 * d.groups()
	shift := 8*(k%4) + 4*(k/n)
	for p := range d.width {
		w := d.w + p
		d.i("VMOVDQU %s, Y%d", mem{disp: d.header + laneBytes*(k%n/4) + 32*p, base: panelReg}, w)
		if shift != 0 {
			d.i("VPSRLD $%d, Y%d, Y%d", shift, w, w)
		}
		if shift+d.bits != 32 {
			d.i("VPAND %s, Y%d, Y%d", d.mask, w, w)
		}
		d.i("VCVTDQ2PS Y%d, Y%d", w, w)
		d.i("VFMADD213PS Y%d, Y%d, Y%d", d.offset+p, d.sc+p, w)
	}
}

// exactTile256 is exactTile.
func (a *asm) exactTile256(q quant, mr int) {
	const x = 15
	width := 2
	if mr > 4 {
		width = 1
	}
	a.beginTile256("exact"+q.name, mr, width)
	d := a.decoder(q, width, x)
	a.label("loop")
	d.head()
	for k := range 32 {
		d.weights(k)
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x)
			for p := range width {
				a.i("VFMADD231PS Y%d, Y%d, Y%d", d.w+p, x, mr*p+m)
			}
		}
	}
	a.next(mr, 1, 32*4, q.blockBytes(), 1)
	a.endTile256(mr, width)
}

// decodeBlocks writes n blocks as a panel of float32.
func (a *asm) decodeBlocks(q quant) {
	a.fn("decode"+q.name, "(n int, w, dst unsafe.Pointer)")
	a.load("n:"+countReg, "w:"+panelReg, "dst:"+cReg)
	d := a.decoder(q, 2, 15)
	a.label("loop")
	d.head()
	for k := range 32 {
		d.weights(k)
		for p := range 2 {
			a.i("VMOVUPS Y%d, %d(%s)", d.w+p, laneBytes*k+32*p, cReg)
		}
	}
	a.i("ADDQ $%d, %s", 32*laneBytes, cReg)
	a.i("ADDQ $%d, %s", q.blockBytes(), panelReg)
	a.i("DECQ %s", countReg)
	a.i("JNZ loop")
	a.ret()
}

// int8Tile256 is int8Tile by VPMADDUBSW, which adds two products of an unsigned
// and a signed byte in 16 bits and saturates there. So q is multiplied four bits
// at a time: a 16-bit sum over a whole block is of 16 products of a q up to 15 and
// an activation in [-127, 127], at most 16·15·127 = 30480 < 1<<15.
func (a *asm) int8Tile256(q quant, mr int) {
	digits := q.bits / 4
	// Accumulators, sums of one vector, the weights' digits, x and a temporary.
	width := 2
	if mr*(2+digits)+2+1+digits-1 > 16 {
		width = 1
	}
	a.beginTile256("int8"+q.name, mr, width)
	const x, low, high, t = 15, 14, 13, 12
	ones, sixteens, nibbles := a.constant(0x00010001, x), a.constant(0x00100010, x), a.constant(0x0f0f0f0f, x)
	sum := func(m, digit int) int { return mr*(width+digit) + m }
	dot := func(first bool, w, digit, m, to int) {
		if first {
			a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, w, sum(m, digit))
			return
		}
		a.i("VPMADDUBSW Y%d, Y%d, Y%d", x, w, to)
		a.i("VPADDW Y%d, Y%d, Y%d", to, sum(m, digit), sum(m, digit))
	}
	a.label("loop")
	for p := range width {
		for g := range q.groups() {
			a.i("VMOVDQU %s, Y%d", mem{disp: q.header + laneBytes*g + 32*p, base: panelReg}, low)
			a.i("VPSRLD $4, Y%d, Y%d", low, high)
			a.i("VPAND %s, Y%d, Y%d", nibbles, low, low)
			a.i("VPAND %s, Y%d, Y%d", nibbles, high, high)
			for m := range mr {
				a.i("VPBROADCASTD %s, Y%d", row(m, actQ+4*g), x)
				if q.bits == 8 {
					dot(g == 0, low, 0, m, t)
					dot(g == 0, high, 1, m, x)
				} else {
					dot(g == 0, low, 0, m, x)
				}
			}
			for m := range mr {
				if q.bits == 4 {
					a.i("VPBROADCASTD %s, Y%d", row(m, actQ+16+4*g), x)
					dot(false, high, 0, m, x)
				}
			}
		}
		for m := range mr {
			z := sum(m, 0)
			a.i("VPMADDWD %s, Y%d, Y%d", ones, z, z)
			if q.bits == 8 {
				a.i("VPMADDWD %s, Y%d, Y%d", sixteens, sum(m, 1), sum(m, 1))
				a.i("VPADDD Y%d, Y%d, Y%d", sum(m, 1), z, z)
			}
			if !q.minima {
				a.i("VPBROADCASTD %s, Y%d", row(m, actSum), x)
				a.i("VPADDD Y%d, Y%d, Y%d", x, z, z)
			}
			a.i("VCVTDQ2PS Y%d, Y%d", z, z)
		}
		if q.minima {
			a.i("VCVTPH2PS %s, Y%d", head(32, p, width), low)
			for m := range mr {
				a.i("VBROADCASTSS %s, Y%d", row(m, actSum), x)
				a.i("VFMADD231PS Y%d, Y%d, Y%d", x, low, mr*p+m)
			}
		}
		a.i("VCVTPH2PS %s, Y%d", head(0, p, width), low)
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, actScale), x)
			a.i("VMULPS Y%d, Y%d, Y%d", x, low, x)
			a.i("VFMADD231PS Y%d, Y%d, Y%d", x, sum(m, 0), mr*p+m)
		}
	}
	a.next(mr, 1, actBlock, q.blockBytes(), 1)
	a.endTile256(mr, width)
}
