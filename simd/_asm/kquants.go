package main

import (
	"math"
	"strconv"
)

// kquant describes a panel of q of five or six bits, or of scales of two levels.
//
// A block has a head, then chunks. Q5_0 and Q5_1 have blocks of 32 k: the head is
// 16 f16 scales (and 16 f16 minima) and there is one chunk, whose 4 dwords of low
// nibbles hold k 4e … 4e+3 low and 16+4e … high. The others have blocks of 256 k
// and four chunks of two sub-blocks of 32: the low nibbles of a chunk's 8 dwords
// are its first sub-block, the high ones its second.
//
// Before the nibbles of a chunk lie, for each sub-block, its high bits: a dword
// whose byte b has in bit e the fifth bit of k 4e+b, or two dwords whose byte b
// has in bits 2(e%4), 2(e%4)+1 of dword e/4 the upper two of k 4e+b.
type kquant struct {
	name   string
	super  bool    // blocks of 256
	bits   int     // of a q
	bias   float32 // a weight is (q - bias)·scale
	minima bool    // or q·scale - minimum; of blocks of 32, + minimum
}

var kquants = []kquant{
	{"Q5_0", false, 5, 16, false},
	{"Q5_1", false, 5, 0, true},
	{"Q4_K", true, 4, 0, true},
	{"Q5_K", true, 5, 0, true},
	{"Q6_K", true, 6, 32, false},
}

// headBytes is what a block has before its first chunk: f16 scales and minima of
// 16 rows; of blocks of 256 also dwords of sub-scales, as ggml packs them: three
// of 6-bit scales and minima, or four of int8 scales of 16 k.
func (q kquant) headBytes() int {
	n := 32
	if q.minima {
		n = 64
	}
	switch {
	case q.bits == 6:
		n += 4 * laneBytes
	case q.super:
		n += 3 * laneBytes
	}
	return n
}

// highDwords are those of a sub-block.
func (q kquant) highDwords() int { return q.bits - 4 }

func (q kquant) subs() int {
	if q.super {
		return 2
	}
	return 1
}

// nibbles is where a chunk's low nibbles begin.
func (q kquant) nibbles() int { return q.subs() * q.highDwords() * laneBytes }

func (q kquant) chunkBytes() int { return q.nibbles() + 4*q.subs()*laneBytes }

// actBytes is the size of an activation block and actAt where its int8 begin.
func (q kquant) actBytes() int { return q.actAt() + 32 }

func (q kquant) actAt() int {
	if q.bits == 6 {
		return actQ + 4
	}
	return actQ
}

// Registers of both tiles from the last down; below them are temporary ones.
const (
	maskLow, maskHigh, maskByte, kNeg = 31, 30, 29, 28
	kTemps                            = 23 // the last of these
	kWalk                             = "R13"
)

func (kquant) scale(p int) int  { return 27 - 2*p }
func (kquant) offset(p int) int { return 26 - 2*p }

// counter counts chunks, stack is where the sub-scales of a block lie as float32:
// for each panel eight of 16 rows, then eight minima below zero, or sixteen.
// Tiles of two panels have few rows, and their own use for the other registers.
func kRegs(panels int) (counter, stack string) {
	if panels == 2 {
		return "R8", "R9"
	}
	return "SI", "R11"
}

const subScaleBytes = 16 * laneBytes

// beginK is beginTile with masks, and room for sub-scales.
func (a *asm) beginK(q kquant, name string, mr, panels int) {
	if q.super {
		a.frame = panels*subScaleBytes + laneBytes
	}
	a.beginTile(name+q.name, mr, panels)
	a.frame = 0
	a.broadcast(0x0f0f0f0f, maskLow)
	switch q.bits {
	case 5:
		a.broadcast(0x10101010, maskHigh)
	case 6:
		a.broadcast(0x30303030, maskHigh)
	}
	if q.super {
		_, stack := kRegs(panels)
		a.i("LEAQ %d(SP), %s", laneBytes-1, stack)
		a.i("ANDQ $-%d, %s", laneBytes, stack)
	}
}

// byteOf extracts byte i of the dwords of z, with its sign or without.
func (a *asm) byteOf(z, i, dst, mask int, signed bool) {
	switch {
	case signed && i == 3:
		a.i("VPSRAD $24, Z%d, Z%d", z, dst)
	case signed:
		a.i("VPSLLD $%d, Z%d, Z%d", 24-8*i, z, dst)
		a.i("VPSRAD $24, Z%d, Z%d", dst, dst)
	case i == 0:
		a.i("VPANDD Z%d, Z%d, Z%d", mask, z, dst)
	case i == 3:
		a.i("VPSRLD $24, Z%d, Z%d", z, dst)
	default:
		a.i("VPSRLD $%d, Z%d, Z%d", 8*i, z, dst)
		a.i("VPANDD Z%d, Z%d, Z%d", mask, dst, dst)
	}
}

// subScales writes the sub-scales of a block of 256, and its minima below zero,
// to the stack: exact products.
func (a *asm) subScales(q kquant, first, panels int) {
	_, stack := kRegs(panels)
	d, next := first, temps(first+6, kTemps)
	for p := range panels {
		put := func(from []int, by, at, mask int, signed bool) {
			for s := range 4 * len(from) {
				z := next()
				a.byteOf(from[s/4], s%4, z, mask, signed)
				a.i("VCVTDQ2PS Z%d, Z%d", z, z)
				a.i("VMULPS Z%d, Z%d, Z%d", by, z, z)
				a.i("VMOVUPS Z%d, %d(%s)", z, p*subScaleBytes+at+s*laneBytes, stack)
			}
		}
		a.i("VCVTPH2PS %s, Z%d", weights(p, 0), d)
		if q.bits == 6 {
			scales := []int{first + 1, first + 2, first + 3, first + 4}
			for i, z := range scales {
				a.i("VMOVDQU32 %s, Z%d", weights(p, 32+i*laneBytes), z)
			}
			put(scales, d, 0, 0, true)
			continue
		}
		dmin, low, high := first+1, first+2, first+4 // of low and high two each: scales or minima 0-3, 4-7
		a.i("VCVTPH2PS %s, Z%d", weights(p, 32), dmin)
		sign, six, two := next(), next(), next()
		a.broadcast(0x80000000, sign)
		a.i("VPXORD Z%d, Z%d, Z%d", sign, dmin, dmin)
		a.broadcast(0x3f3f3f3f, six)
		a.broadcast(0x30303030, two)
		rest := next()
		a.i("VMOVDQU32 %s, Z%d", weights(p, 64+2*laneBytes), rest)
		for i, z := range []int{low, high} {
			w := weights(p, 64+i*laneBytes)
			a.i("VPANDD %s, Z%d, Z%d", w, six, z)
			a.i("VPSRLD $2, %s, Z%d", w, z+1)
			a.i("VPANDD Z%d, Z%d, Z%d", two, z+1, z+1)
			if i == 1 {
				a.i("VPSRLD $4, Z%d, Z%d", rest, rest)
			}
			a.i("VPTERNLOGD $0xf8, Z%d, Z%d, Z%d", maskLow, rest, z+1) // z+1 |= rest & maskLow
		}
		mask := six // no longer needed
		a.broadcast(0xff, mask)
		keep := next
		next = func() int { // every register but the mask
			for {
				if z := keep(); z != mask {
					return z
				}
			}
		}
		put([]int{low, low + 1}, d, 0, mask, false)
		put([]int{high, high + 1}, dmin, subScaleBytes/2, mask, false)
	}
}

// dword unpacks bytes of k 4e … 4e+3 of sub-block sub of the chunk at off into z;
// t is for its high bits.
func (a *asm) dword(q kquant, p, off, sub, e, z, t int) {
	nibble, at := sub, e
	if !q.super {
		nibble, at = e/4, e%4
	}
	w := weights(p, off+q.nibbles()+at*laneBytes)
	if nibble == 0 {
		a.i("VPANDD %s, Z%d, Z%d", w, maskLow, z)
	} else {
		a.i("VPSRLD $4, %s, Z%d", w, z)
		a.i("VPANDD Z%d, Z%d, Z%d", maskLow, z, z)
	}
	if q.bits == 4 {
		return
	}
	h, shift := weights(p, off+sub*laneBytes), e-4 // to bit 4
	if q.bits == 6 {
		h, shift = weights(p, off+(2*sub+e/4)*laneBytes), 2*(e%4)-4
	}
	switch {
	case shift < 0:
		a.i("VPSLLD $%d, %s, Z%d", -shift, h, t)
	case shift > 0:
		a.i("VPSRLD $%d, %s, Z%d", shift, h, t)
	default:
		a.i("VPTERNLOGD $0xf8, %s, Z%d, Z%d", h, maskHigh, z)
		return
	}
	a.i("VPTERNLOGD $0xf8, Z%d, Z%d, Z%d", maskHigh, t, z) // z |= t & maskHigh
}

// advance moves on by xBytes in every activation row and by wBytes in the panels.
func (a *asm) advance(mr, panels, xBytes, wBytes int) {
	for b := 0; xBytes > 0 && 3*b < mr; b++ {
		a.i("ADDQ $%d, %s", xBytes, baseRegs[b])
	}
	a.i("ADDQ $%d, %s", wBytes, panelReg)
	if panels == 2 {
		a.i("ADDQ $%d, %s", wBytes, aheadReg)
	}
}

// blocks is the loop over blocks; chunk computes that of the panel's bytes from
// off on.
func (a *asm) blocks(q kquant, mr, panels, xBytes int, chunk func(off int)) {
	stream := func(n int) {
		if panels == 1 && mr > 1 {
			a.prefetchStream(n)
		}
	}
	a.label("loop")
	if !q.super {
		stream(q.headBytes() + q.chunkBytes())
		a.prefetchAhead(panels, 0, q.headBytes()+q.chunkBytes())
		chunk(q.headBytes())
		a.advance(mr, panels, xBytes, q.headBytes()+q.chunkBytes())
	} else {
		counter, stack := kRegs(panels)
		a.prefetchAhead(panels, 0, q.headBytes())
		stream(q.headBytes())
		a.subScales(q, mr*panels, panels)
		a.advance(mr, panels, 0, q.headBytes())
		a.i("MOVQ %s, %s", stack, kWalk)
		a.i("MOVQ $4, %s", counter)
		a.label("chunk")
		a.prefetchAhead(panels, 0, q.chunkBytes())
		stream(q.chunkBytes())
		chunk(0)
		a.advance(mr, panels, 2*xBytes, q.chunkBytes())
		a.i("ADDQ $%d, %s", q.walk(), kWalk)
		a.i("SUBQ $1, %s", counter)
		a.i("JNZ chunk")
	}
	a.i("SUBQ $1, %s", countReg)
	a.i("JNZ loop")
}

// walk is how far a chunk's sub-scales reach.
func (q kquant) walk() int {
	if q.bits == 6 {
		return 4 * laneBytes
	}
	return 2 * laneBytes
}

// scales loads the scale, and of minima the offset, of k from 4e on.
func (a *asm) scales(q kquant, p, sub, e int) {
	scale, offset := q.scale(p), q.offset(p)
	switch {
	case !q.super:
		a.i("VCVTPH2PS %s, Z%d", weights(p, 0), scale)
		if q.minima {
			a.i("VCVTPH2PS %s, Z%d", weights(p, 32), offset)
		}
	case q.bits == 6:
		a.i("VMOVUPS %d(%s), Z%d", p*subScaleBytes+(2*sub+e/4)*laneBytes, kWalk, scale)
	default:
		a.i("VMOVUPS %d(%s), Z%d", p*subScaleBytes+sub*laneBytes, kWalk, scale)
		a.i("VMOVUPS %d(%s), Z%d", p*subScaleBytes+subScaleBytes/2+sub*laneBytes, kWalk, offset)
	}
}

// exactK decodes each weight to float32, w = fma(q, scale, offset), and
// multiplies n blocks of float32 activations.
func (a *asm) exactK(q kquant, mr, panels int) {
	a.beginK(q, "exact", mr, panels)
	a.broadcast(0xff, maskByte)
	if !q.minima {
		a.broadcast(math.Float32bits(-q.bias), kNeg)
	}
	tmp := temps(mr*panels, kTemps)
	a.blocks(q, mr, panels, 32*4, func(off int) {
		for sub := range q.subs() {
			for e := range 8 {
				if e == 0 || q.bits == 6 && e == 4 {
					for p := range panels {
						a.scales(q, p, sub, e)
						if !q.minima {
							a.i("VMULPS Z%d, Z%d, Z%d", kNeg, q.scale(p), q.offset(p))
						}
					}
				}
				var four [2]int
				for p := range panels {
					four[p] = tmp()
					a.dword(q, p, off, sub, e, four[p], tmp())
				}
				for i := range 4 {
					for p := range panels {
						z := tmp()
						a.byteOf(four[p], i, z, maskByte, false)
						a.i("VCVTDQ2PS Z%d, Z%d", z, z)
						a.i("VFMADD213PS Z%d, Z%d, Z%d", q.offset(p), q.scale(p), z)
						for m := range mr {
							a.i("VFMADD231PS.BCST %s, Z%d, Z%d", row(m, 4*(32*sub+4*e+i)), z, mr*p+m)
						}
					}
				}
			}
		}
	})
	a.endTile(mr, panels)
}

// int8K multiplies n blocks of int8 activations, one row after another: the
// products under one scale are summed exactly.
func (a *asm) int8K(q kquant, mr int) {
	a.beginK(q, "int8", mr, 1)
	w := func(e int) int { return mr + e }
	tmp := temps(mr+8, kTemps+1)
	scale, offset := q.scale(0), q.offset(0)
	const second = 28 // the scale of the last 16 k
	a.blocks(q, mr, 1, q.actBytes(), func(off int) {
		for sub := range q.subs() {
			x := func(m, at int) mem { return row(m, sub*q.actBytes()+at) }
			a.scales(q, 0, sub, 0)
			if q.bits == 6 {
				a.i("VMOVUPS %d(%s), Z%d", (2*sub+1)*laneBytes, kWalk, second)
			}
			for e := range 8 {
				a.dword(q, 0, off, sub, e, w(e), tmp())
			}
			dot := func(m, z, from, to int) {
				for e := from; e < to; e++ {
					a.i("VPDPBUSD.BCST %s, Z%d, Z%d", x(m, q.actAt()+4*e), w(e), z)
				}
				a.i("VCVTDQ2PS Z%d, Z%d", z, z)
			}
			for m := range mr {
				z, t := tmp(), tmp()
				switch {
				case q.bits == 6:
					a.i("VPBROADCASTD %s, Z%d", x(m, actSum), z)
					dot(m, z, 0, 4)
					a.i("VPBROADCASTD %s, Z%d", x(m, actSum+4), t)
					dot(m, t, 4, 8)
					a.i("VMULPS Z%d, Z%d, Z%d", scale, z, z)
					a.i("VFMADD231PS Z%d, Z%d, Z%d", second, t, z)
					a.i("VFMADD231PS.BCST %s, Z%d, Z%d", x(m, actScale), z, m)
					continue
				case q.minima:
					a.i("VPXORD Z%d, Z%d, Z%d", z, z, z)
					a.i("VFMADD231PS.BCST %s, Z%d, Z%d", x(m, actSum), offset, m)
				default:
					a.i("VPBROADCASTD %s, Z%d", x(m, actSum), z)
				}
				dot(m, z, 0, 8)
				a.i("VMULPS.BCST %s, Z%d, Z%d", x(m, actScale), scale, t)
				a.i("VFMADD231PS Z%d, Z%d, Z%d", t, z, m)
			}
		}
	})
	a.endTile(mr, 1)
}

// docs are the comments of the tables of both tiles.
func (q kquant) docs() (exact, int8 []string) {
	exact = []string{"Exact" + q.name + " takes panels of " + q.name + " and float32 activations:", ""}
	int8 = []string{"Int8" + q.name + " takes panels of " + q.name + " and int8 activations; for each block of 32:", ""}
	n := strconv.Itoa(int(q.bias))
	switch {
	case q.bits == 6:
		return append(exact, "\ts := d*scale[k/16]", "\tacc = fma(fma(q[k], s, -"+n+"*s), x[k], acc)"),
			append(int8, "\tsum[h] := Σ (q[k]-"+n+") * x.q[k] // exact, over each 16",
				"\tu := fma(d*scale[1], float32(sum[1]), d*scale[0]*float32(sum[0]))",
				"\tacc = fma(u, x.scale, acc)")
	case q.super:
		return append(exact, "\tacc = fma(fma(q[k], d*scale[k/32], -dmin*minimum[k/32]), x[k], acc)"),
			append(int8, "\tsum := Σ q[k] * x.q[k] // exact, over the block",
				"\tacc = fma(-dmin*minimum, x.sum, acc)",
				"\tacc = fma(d*scale*x.scale, float32(sum), acc)")
	}
	return quant{name: q.name, bias: q.bias, minima: q.minima}.docs()
}
