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

// decodeStep elements of each row are decoded at once; package avx2 has it too.
const decodeStep = 256

// offsetReg is 32 times the vector that a tile of one vector at once computes,
// headReg brings the address of that vector's weights back to its 16-bit scales.
const offsetReg, headReg = "SI", "R11"

// beginVectors begins a tile that computes one of the panel's vectors after the
// other.
func (a *asm) beginVectors(name string, mr int) {
	a.fn(fmt.Sprintf("%sx%d", name, mr), tileArgs)
	a.i("XORL %s, %s", offsetReg, offsetReg)
	a.label("vector")
	a.loadTile()
	a.oneVector()
	a.start(mr, 1)
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

func (a *asm) endVectors(mr int) {
	a.finish(mr, 1)
	a.nextVector()
	a.ret()
}

// at256 addresses byte off of the panel, of 16 lanes of size bytes, for vector v of
// width: of the one that is computed, of the panel's two, of two panels' four.
func at256(off, size, v, width int) mem {
	switch {
	case width > 1:
		return weights(v/2, off+8*size*(v%2))
	case size == 2:
		return mem{off, panelReg, headReg, 1}
	}
	return mem{disp: off, base: panelReg}
}

// floatTile256 takes n, a multiple of floatSteps, elements of k.
func (a *asm) floatTile256(kind floatKind, mr, panels int) {
	const floatSteps = 8
	a.beginTile(kind.name, mr, panels)
	vectors := 2 * panels
	upper := ""
	if kind.name == "bf16" {
		upper = a.constant(0xffff0000, 0)
	}
	weight := func(k, v, z int) {
		switch kind.name {
		case "f32":
			a.i("VMOVUPS %s, Y%d", at256(k*64, 4, v, vectors), z)
		case "f16":
			a.i("VCVTPH2PS %s, Y%d", at256(k*32, 2, v, vectors), z)
		case "bf16":
			a.i("VMOVDQU %s, Y%d", at256(k/2*64, 4, v, vectors), z)
			if k%2 == 0 {
				a.i("VPSLLD $16, Y%d, Y%d", z, z)
			} else {
				a.i("VPAND %s, Y%d, Y%d", upper, z, z)
			}
		}
	}
	a.label("loop")
	if panels == 1 && mr > 2 && kind.name == "bf16" { // attention reads the others
		a.prefetchStream(floatSteps * kind.wBytes)
	}
	for k := range floatSteps {
		if k*kind.wBytes%laneBytes == 0 {
			a.prefetchAhead(panels, k*kind.wBytes, laneBytes)
		}
		if panels == 2 {
			const x, w = 12, 15
			for m := range mr {
				a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x+m)
			}
			for v := range vectors {
				weight(k, v, w)
				for m := range mr {
					a.i("VFMADD231PS Y%d, Y%d, Y%d", w, x+m, mr*v+m)
				}
			}
			continue
		}
		const w, x = 12, 14
		for v := range vectors {
			weight(k, v, w+v)
		}
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x)
			for v := range vectors {
				a.i("VFMADD231PS Y%d, Y%d, Y%d", w+v, x, mr*v+m)
			}
		}
	}
	a.next(mr, panels, floatSteps*kind.xBytes, floatSteps*kind.wBytes, floatSteps)
	a.endTile(mr, panels)
}

// decoder256 emits the decoding of blocks to float32, w = fma(q, scale, offset).
type decoder256 struct {
	*asm
	quant
	width         int // vectors
	offset, scale int // registers from these on, one for each vector
	mask, neg     string
}

// decoder takes 2·width registers below top.
func (a *asm) decoder(q quant, width, top int) decoder256 {
	return decoder256{a, q, width, top - width, top - 2*width,
		a.constant(q.mask, 0), a.constant(math.Float32bits(-q.bias), 0)}
}

// head reads the block's scales and offsets.
func (d *decoder256) head() {
	for v := range d.width {
		d.i("VCVTPH2PS %s, Y%d", at256(0, 2, v, d.width), d.scale+v)
		if d.minima {
			d.i("VCVTPH2PS %s, Y%d", at256(32, 2, v, d.width), d.offset+v)
		} else {
			d.i("VMULPS %s, Y%d, Y%d", d.neg, d.scale+v, d.offset+v)
		}
	}
}

// weight decodes element k of the block for vector v into register w.
func (d *decoder256) weight(k, v, w int) {
	n := 4 * d.groups()
	shift := 8*(k%4) + 4*(k/n)
	d.i("VMOVDQU %s, Y%d", at256(d.header+laneBytes*(k%n/4), 4, v, d.width), w)
	if shift != 0 {
		d.i("VPSRLD $%d, Y%d, Y%d", shift, w, w)
	}
	if shift+d.bits != 32 {
		d.i("VPAND %s, Y%d, Y%d", d.mask, w, w)
	}
	d.i("VCVTDQ2PS Y%d, Y%d", w, w)
	d.i("VFMADD213PS Y%d, Y%d, Y%d", d.offset+v, d.scale+v, w)
}

// exactTile256 is exactTile. Of two panels it computes one row at once; with more
// rows one panel after the other keeps the multiplier as busy.
func (a *asm) exactTile256(q quant, mr, panels int) {
	const x = 15
	name, width := "exact"+q.name, 2
	switch {
	case panels == 2 && mr == 1:
		width = 4
		a.beginTile(name, mr, 2)
	case panels == 2:
		a.beginPanels(name, mr)
	case mr > 4:
		width = 1
		a.beginVectors(name, mr)
	default:
		a.beginTile(name, mr, 1)
	}
	a.label("loop")
	if panels == 1 && mr > 1 {
		a.prefetchStream(q.blockBytes())
	}
	ahead := 0
	if panels == 2 {
		for ; ahead < q.blockBytes(); ahead += laneBytes {
			a.i("PREFETCHT1 %d(%s)", ahead, aheadReg)
			if width == 4 {
				a.i("PREFETCHT1 %d(%s)(%s*1)", ahead, aheadReg, nextReg)
			}
		}
	}
	top := x - width
	if width == 4 {
		top = x - 1
	}
	d := a.decoder(q, width, top)
	d.head()
	for k := range 32 {
		if width == 4 {
			a.i("VBROADCASTSS %s, Y%d", row(0, 4*k), x)
			for v := range width {
				d.weight(k, v, top)
				a.i("VFMADD231PS Y%d, Y%d, Y%d", top, x, v)
			}
			continue
		}
		for v := range width {
			d.weight(k, v, top+v)
		}
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, 4*k), x)
			for v := range width {
				a.i("VFMADD231PS Y%d, Y%d, Y%d", top+v, x, mr*v+m)
			}
		}
	}
	a.next(mr, panels, 32*4, q.blockBytes(), 1)
	switch {
	case width == 1:
		a.endVectors(mr)
	case width == 2 && panels == 2:
		a.endPanels(mr)
	default:
		a.endTile(mr, panels)
	}
}

// panelCount is the panel that a tile of one panel after the other computes.
const panelCount = "R10"

// beginPanels begins a tile of two panels that computes one after the other.
func (a *asm) beginPanels(name string, mr int) {
	a.fn(fmt.Sprintf("%sx%dx2", name, mr), wideArgs)
	a.i("XORL %s, %s", panelCount, panelCount)
	a.label("panel")
	a.loadTile()
	a.i("MOVQ next+56(FP), %s", nextReg)
	a.i("MOVQ ahead+64(FP), %s", aheadReg)
	a.i("TESTQ %s, %s", panelCount, panelCount)
	a.i("JZ first")
	a.i("ADDQ %s, %s", nextReg, panelReg)
	a.i("ADDQ $%d, %s", laneBytes, cReg)
	a.label("first")
	a.i("ADDQ %s, %s", panelReg, aheadReg)
	a.start(mr, 2)
}

func (a *asm) endPanels(mr int) {
	a.finish(mr, 2)
	a.i("INCQ %s", panelCount)
	a.i("CMPQ %s, $2", panelCount)
	a.i("JLT panel")
	a.ret()
}

// decodeBlocks writes n blocks as a panel of float32.
func (a *asm) decodeBlocks(q quant) {
	const w = 15
	a.fn("decode"+q.name, "(n int, w, dst unsafe.Pointer)")
	a.load("n:"+countReg, "w:"+panelReg, "dst:"+cReg)
	d := a.decoder(q, 2, w)
	a.label("loop")
	a.prefetchStream(q.blockBytes())
	d.head()
	for k := range 32 {
		for v := range 2 {
			d.weight(k, v, w)
			a.i("VMOVUPS Y%d, %d(%s)", w, laneBytes*k+32*v, cReg)
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
		a.beginVectors("int8"+q.name, mr)
	} else {
		a.beginTile("int8"+q.name, mr, 1)
	}
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
	if mr > 1 {
		a.prefetchStream(q.blockBytes())
	}
	for p := range width {
		for g := range q.groups() {
			a.i("VMOVDQU %s, Y%d", at256(q.header+laneBytes*g, 4, p, width), low)
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
			a.i("VCVTPH2PS %s, Y%d", at256(32, 2, p, width), low)
			for m := range mr {
				a.i("VBROADCASTSS %s, Y%d", row(m, actSum), x)
				a.i("VFMADD231PS Y%d, Y%d, Y%d", x, low, mr*p+m)
			}
		}
		a.i("VCVTPH2PS %s, Y%d", at256(0, 2, p, width), low)
		for m := range mr {
			a.i("VBROADCASTSS %s, Y%d", row(m, actScale), x)
			a.i("VMULPS Y%d, Y%d, Y%d", x, low, x)
			a.i("VFMADD231PS Y%d, Y%d, Y%d", x, sum(m, 0), mr*p+m)
		}
	}
	a.next(mr, 1, actBlock, q.blockBytes(), 1)
	if width == 1 {
		a.endVectors(mr)
	} else {
		a.endTile(mr, 1)
	}
}
