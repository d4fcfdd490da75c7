package main

import (
	"fmt"
	"math"
)

// K-quants of 256 bits. Eight dwords of q stay in registers, so that more than two
// rows of int8 take one vector of the panel after the other. Exact tiles of more
// rows than three decode and leave the rest to F32.

var kRows256 = []int{1, 2, 3, 4}

// Registers: accumulators come first, kDwords are unpacked q; the others are
// temporary.
const (
	kDwords256, kX, kSum, kMore, kScale256 = 4, 12, 13, 14, 15
	kCounter256, kWalk256                  = "R9", "R10"
)

// beginK256 sets the frame: float32 of sixteen sub-scales, or of eight and eight
// minima, of width vectors each.
func (a *asm) beginK256(q kquant, width int, begin func()) {
	if q.super {
		a.frame = 16 * 32 * width
	}
	begin()
	a.frame = 0
}

// byteOf256 is byteOf in place.
func (a *asm) byteOf256(z, i, dst int, signed bool) {
	switch {
	case signed && i < 3:
		a.i("VPSLLD $%d, Y%d, Y%d", 24-8*i, z, dst)
		a.i("VPSRAD $24, Y%d, Y%d", dst, dst)
	case signed:
		a.i("VPSRAD $24, Y%d, Y%d", z, dst)
	case i == 3:
		a.i("VPSRLD $24, Y%d, Y%d", z, dst)
	case i == 0:
		a.i("VPAND %s, Y%d, Y%d", a.constant(0xff, 0), z, dst)
	default:
		a.i("VPSRLD $%d, Y%d, Y%d", 8*i, z, dst)
		a.i("VPAND %s, Y%d, Y%d", a.constant(0xff, 0), dst, dst)
	}
}

// subScales256 is subScales of width vectors.
func (a *asm) subScales256(q kquant, width int) {
	const d, dmin, w, high, rest, z = 8, 9, 10, 11, 12, 13
	for v := range width {
		put := func(from, by, at int, signed bool) {
			for s := range 4 {
				a.byteOf256(from, s, z, signed)
				a.i("VCVTDQ2PS Y%d, Y%d", z, z)
				a.i("VMULPS Y%d, Y%d, Y%d", by, z, z)
				a.i("VMOVUPS Y%d, %d(SP)", z, 32*(width*(at+s)+v))
			}
		}
		a.i("VCVTPH2PS %s, Y%d", at256(0, 2, v, width), d)
		if q.bits == 6 {
			for i := range 4 {
				a.i("VMOVDQU %s, Y%d", at256(32+i*laneBytes, 4, v, width), w)
				put(w, d, 4*i, true)
			}
			continue
		}
		a.i("VCVTPH2PS %s, Y%d", at256(32, 2, v, width), dmin)
		a.i("VXORPS %s, Y%d, Y%d", a.constant(0x80000000, 0), dmin, dmin)
		a.i("VMOVDQU %s, Y%d", at256(64+2*laneBytes, 4, v, width), rest)
		for i, by := range []int{d, dmin} {
			a.i("VMOVDQU %s, Y%d", at256(64+i*laneBytes, 4, v, width), w)
			a.i("VPSRLD $2, Y%d, Y%d", w, high)
			a.i("VPAND %s, Y%d, Y%d", a.constant(0x30303030, 0), high, high)
			a.i("VPAND %s, Y%d, Y%d", a.constant(0x3f3f3f3f, 0), w, w)
			if i == 1 {
				a.i("VPSRLD $4, Y%d, Y%d", rest, rest)
			}
			a.i("VPAND %s, Y%d, Y%d", a.constant(0x0f0f0f0f, 0), rest, z)
			a.i("VPOR Y%d, Y%d, Y%d", z, high, high)
			put(w, by, 8*i, false)
			put(high, by, 8*i+4, false)
		}
	}
}

// dword256 is dword for vector v of width.
func (a *asm) dword256(q kquant, off, sub, e, v, width, z, t int) {
	nibble, at := sub, e
	if !q.super {
		nibble, at = e/4, e%4
	}
	a.i("VMOVDQU %s, Y%d", at256(off+q.nibbles()+at*laneBytes, 4, v, width), z)
	if nibble == 1 {
		a.i("VPSRLD $4, Y%d, Y%d", z, z)
	}
	a.i("VPAND %s, Y%d, Y%d", a.constant(0x0f0f0f0f, 0), z, z)
	if q.bits == 4 {
		return
	}
	h, shift, mask := off+sub*laneBytes, e-4, uint32(0x10101010) // to bit 4
	if q.bits == 6 {
		h, shift, mask = off+(2*sub+e/4)*laneBytes, 2*(e%4)-4, 0x30303030
	}
	a.i("VMOVDQU %s, Y%d", at256(h, 4, v, width), t)
	switch {
	case shift < 0:
		a.i("VPSLLD $%d, Y%d, Y%d", -shift, t, t)
	case shift > 0:
		a.i("VPSRLD $%d, Y%d, Y%d", shift, t, t)
	}
	a.i("VPAND %s, Y%d, Y%d", a.constant(mask, 0), t, t)
	a.i("VPOR Y%d, Y%d, Y%d", t, z, z)
}

// blocks256 is the loop over blocks; move advances what is not the panel by a
// chunk.
func (a *asm) blocks256(q kquant, width int, chunk func(off int), move func()) {
	a.label("loop")
	if !q.super {
		a.prefetchStream(q.headBytes() + q.chunkBytes())
		chunk(q.headBytes())
		move()
		a.i("ADDQ $%d, %s", q.headBytes()+q.chunkBytes(), panelReg)
	} else {
		a.prefetchStream(q.headBytes())
		a.subScales256(q, width)
		a.i("ADDQ $%d, %s", q.headBytes(), panelReg)
		a.i("MOVQ SP, %s", kWalk256)
		a.i("MOVQ $4, %s", kCounter256)
		a.label("chunk")
		a.prefetchStream(q.chunkBytes())
		chunk(0)
		move()
		a.i("ADDQ $%d, %s", q.chunkBytes(), panelReg)
		a.i("ADDQ $%d, %s", q.walk()*width/2, kWalk256)
		a.i("SUBQ $1, %s", kCounter256)
		a.i("JNZ chunk")
	}
	a.i("SUBQ $1, %s", countReg)
	a.i("JNZ loop")
}

// scale256 addresses vector v of the scale of k from 4e on, and of minima the
// offset.
func (q kquant) scale256(sub, e, v, width int) (scale, offset mem) {
	at := func(s int) mem { return mem{disp: 32 * (width*s + v), base: kWalk256} }
	if q.bits == 6 {
		return at(2*sub + e/4), mem{}
	}
	return at(sub), at(8 + sub)
}

// kScales256 loads the scales and offsets of k from 4e on, where they begin there.
func (a *asm) kScales256(q kquant, sub, e, scale, offset int) {
	if e != 0 && (q.bits != 6 || e != 4) {
		return
	}
	for v := range 2 {
		s, o := q.scale256(sub, e, v, 2)
		if q.super {
			a.i("VMOVUPS %s, Y%d", s, scale+v)
		} else {
			a.i("VCVTPH2PS %s, Y%d", at256(0, 2, v, 2), scale+v)
		}
		switch {
		case !q.minima:
			a.i("VMULPS %s, Y%d, Y%d", a.constant(math.Float32bits(-q.bias), 0), scale+v, offset+v)
		case q.super:
			a.i("VMOVUPS %s, Y%d", o, offset+v)
		default:
			a.i("VCVTPH2PS %s, Y%d", at256(32, 2, v, 2), offset+v)
		}
	}
}

// kWeight256 is w = fma(q, scale, offset) of byte i of the dwords of z.
func (a *asm) kWeight256(z, i, w, scale, offset int) {
	a.byteOf256(z, i, w, false)
	a.i("VCVTDQ2PS Y%d, Y%d", w, w)
	a.i("VFMADD213PS Y%d, Y%d, Y%d", offset, scale, w)
}

// exactK256 is exactK of up to three rows.
func (a *asm) exactK256(q kquant, mr int) {
	const w, four, x, t, scale, offset = 6, 8, 10, 11, 12, 14
	a.beginK256(q, 2, func() { a.beginTile("exact"+q.name, mr, 1) })
	a.blocks256(q, 2, func(off int) {
		for sub := range q.subs() {
			for e := range 8 {
				a.kScales256(q, sub, e, scale, offset)
				for v := range 2 {
					a.dword256(q, off, sub, e, v, 2, four+v, t)
				}
				for i := range 4 {
					for v := range 2 {
						a.kWeight256(four+v, i, w+v, scale+v, offset+v)
					}
					for m := range mr {
						a.i("VBROADCASTSS %s, Y%d", row(m, 4*(32*sub+4*e+i)), x)
						for v := range 2 {
							a.i("VFMADD231PS Y%d, Y%d, Y%d", w+v, x, mr*v+m)
						}
					}
				}
			}
		}
	}, func() { a.ownBases(mr, "ADDQ $%d, %s", 4*32*q.subs()) })
	a.endTile(mr, 1)
}

// decodeK writes n blocks as a panel of float32, w = fma(q, scale, offset).
func (a *asm) decodeK(q kquant) {
	const scale, offset, four, t, w = 0, 2, 4, 5, 6
	a.beginK256(q, 2, func() { a.fn("decode"+q.name, "(n int, w, dst unsafe.Pointer)") })
	a.load("n:"+countReg, "w:"+panelReg, "dst:"+cReg)
	a.blocks256(q, 2, func(off int) {
		for sub := range q.subs() {
			for e := range 8 {
				a.kScales256(q, sub, e, scale, offset)
				for v := range 2 {
					a.dword256(q, off, sub, e, v, 2, four, t)
					for i := range 4 {
						a.kWeight256(four, i, w, scale+v, offset+v)
						a.i("VMOVUPS Y%d, %d(%s)", w, laneBytes*(32*sub+4*e+i)+32*v, cReg)
					}
				}
			}
		}
	}, func() { a.i("ADDQ $%d, %s", 32*q.subs()*laneBytes, cReg) })
	a.ret()
}

// int8K256 is int8K. A 16-bit sum is of a q of 4 bits and 8 dwords, 16·15·127 =
// 30480; of 5 bits and 4, 8·31·127 = 31496; of 6 bits and 2, 4·63·127 = 32004: all
// below 1<<15.
func (a *asm) int8K256(q kquant, mr int) {
	name, width := "int8"+q.name, 2
	if mr > 2 {
		width = 1
	}
	a.beginK256(q, width, func() {
		if width == 1 {
			a.beginVectors(name, mr)
		} else {
			a.beginTile(name, mr, 1)
		}
	})
	ones := a.constant(0x00010001, 0)
	size := map[int]int{4: 8, 5: 4, 6: 2}[q.bits]
	chunk := func(off, sub, v int) {
		x := func(m, at int) mem { return row(m, sub*q.actBytes()+at) }
		for e := range 8 {
			a.dword256(q, off, sub, e, v, width, kDwords256+e, kX)
		}
		// dot sets z to the sum of dwords [from, to) and what the activations begin
		// with, if they do; t is another register.
		dot := func(m, z, t, from, to, start int) {
			for g := from; g < to; g += size {
				sum := z
				if g > from {
					sum = t
				}
				for e := g; e < g+size; e++ {
					a.i("VPBROADCASTD %s, Y%d", x(m, q.actAt()+4*e), kX)
					if e == g {
						a.i("VPMADDUBSW Y%d, Y%d, Y%d", kX, kDwords256+e, sum)
						continue
					}
					a.i("VPMADDUBSW Y%d, Y%d, Y%d", kX, kDwords256+e, kX)
					a.i("VPADDW Y%d, Y%d, Y%d", kX, sum, sum)
				}
				a.i("VPMADDWD %s, Y%d, Y%d", ones, sum, sum)
				if g > from {
					a.i("VPADDD Y%d, Y%d, Y%d", t, z, z)
				}
			}
			if start != 0 {
				a.i("VPBROADCASTD %s, Y%d", x(m, start), kX)
				a.i("VPADDD Y%d, Y%d, Y%d", kX, z, z)
			}
			a.i("VCVTDQ2PS Y%d, Y%d", z, z)
		}
		scale, offset := q.scale256(sub, 0, v, width)
		second, _ := q.scale256(sub, 4, v, width)
		for m := range mr {
			acc := mr*v + m
			if q.bits == 6 {
				dot(m, kSum, kMore, 0, 4, actSum)
				a.i("VMULPS %s, Y%d, Y%d", scale, kSum, kSum)
				dot(m, kMore, kScale256, 4, 8, actSum+4)
				a.i("VFMADD231PS %s, Y%d, Y%d", second, kMore, kSum)
				a.i("VBROADCASTSS %s, Y%d", x(m, actScale), kX)
				a.i("VFMADD231PS Y%d, Y%d, Y%d", kX, kSum, acc)
				continue
			}
			start := actSum
			if q.minima {
				start = 0
				a.i("VBROADCASTSS %s, Y%d", x(m, actSum), kX)
				if q.super {
					a.i("VFMADD231PS %s, Y%d, Y%d", offset, kX, acc)
				} else {
					a.i("VCVTPH2PS %s, Y%d", at256(32, 2, v, width), kScale256)
					a.i("VFMADD231PS Y%d, Y%d, Y%d", kScale256, kX, acc)
				}
			}
			dot(m, kSum, kMore, 0, 8, start)
			a.i("VBROADCASTSS %s, Y%d", x(m, actScale), kX)
			if q.super {
				a.i("VMULPS %s, Y%d, Y%d", scale, kX, kX)
			} else {
				a.i("VCVTPH2PS %s, Y%d", at256(0, 2, v, width), kScale256)
				a.i("VMULPS Y%d, Y%d, Y%d", kScale256, kX, kX)
			}
			a.i("VFMADD231PS Y%d, Y%d, Y%d", kX, kSum, acc)
		}
	}
	a.blocks256(q, width, func(off int) {
		for sub := range q.subs() {
			for v := range width {
				chunk(off, sub, v)
			}
		}
	}, func() { a.ownBases(mr, "ADDQ $%d, %s", q.subs()*q.actBytes()) })
	if width == 1 {
		a.endVectors(mr)
	} else {
		a.endTile(mr, 1)
	}
}

// kquants256 are the tiles of kquants.
func kquants256() *asm {
	a := newAsm(&avx2)
	var kinds []tileKind
	for _, q := range kquants {
		exact, int8 := q.docs()
		per := 32
		if q.super {
			per = 256
		}
		bytes := q.headBytes() + per/32/q.subs()*q.chunkBytes()
		kinds = append(kinds,
			tileKind{table: "Exact" + q.name, name: "exact" + q.name, doc: exact, rows: kRows256[:3],
				decoder: fmt.Sprintf("4, decode%s, %d, %d", q.name, per, decodeStep/per*bytes), decode: func() { a.decodeK(q) },
				write: func(mr, _ int) { a.exactK256(q, mr) }},
			tileKind{table: "Int8" + q.name, name: "int8" + q.name, doc: int8, rows: kRows256,
				write: func(mr, _ int) { a.int8K256(q, mr) }})
	}
	a.kinds(kinds)
	return a
}
