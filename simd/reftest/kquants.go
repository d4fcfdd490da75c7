package reftest

import (
	"encoding/binary"
	"math/rand/v2"
)

// kRef describes the blocks of a panel of q of five or six bits, or of scales of
// two levels; package simd's panels have the layouts.
type kRef struct {
	blockRef         // bytes, head, and the bias, of one row's block
	k, bits, sub int // of a block, of a q, under one scale
}

// dword is 32-bit word i of a lane behind a block's binary16 numbers.
func (q kRef) dword(panel []byte, lane, block, i int) uint32 {
	return binary.LittleEndian.Uint32(panel[16*(block*q.bytes+q.head)+64*i+4*lane:])
}

// q is the stored integer of element i.
func (q kRef) q(panel []byte, lane, i int) int {
	block, high := i/q.k, q.bits-4
	i %= q.k
	chunk, at, subs := 0, 0, 1
	if q.k == 256 {
		chunk, subs = i/64, 2
		at = 3 + q.bits/6 + chunk*(2*high+8) // behind three or four words of sub-scales and earlier chunks
	}
	half, e, b := i%64/32, i%32/4, i%4
	nibble, word := half, e
	if q.k == 32 {
		half, nibble, word = 0, e/4, e%4
	}
	v := int(q.dword(panel, lane, block, at+subs*high+word) >> (8*b + 4*nibble) & 15)
	switch q.bits {
	case 5:
		v |= int(q.dword(panel, lane, block, at+half)>>(8*b+e)&1) << 4
	case 6:
		v |= int(q.dword(panel, lane, block, at+2*half+e/4)>>(8*b+2*(e%4))&3) << 4
	}
	return v
}

// scale is what q is multiplied with, and offset what is added.
func (q kRef) scale(panel []byte, lane, i int) (scale, offset float32) {
	block, j := i/q.k, i%q.k/q.sub
	d := q.d(panel, lane, block)
	word := func(w int) uint32 { return q.dword(panel, lane, block, w) }
	switch {
	case q.k == 32 && q.minima:
		return d, q.m(panel, lane, block)
	case q.k == 32:
	case q.bits == 6:
		d *= float32(int8(word(j/4) >> (8 * (j % 4))))
	default:
		six := func(w int) uint32 {
			if j < 4 {
				return word(w) >> (8 * j) & 63
			}
			return word(2)>>(8*(j-4)+4*w)&15 | word(w)>>(8*(j-4)+6)&3<<4
		}
		return d * float32(six(0)), -(q.m(panel, lane, block) * float32(six(1)))
	}
	return d, -float32(q.bias) * d
}

// exact is acc = fma(fma(q, scale, offset), x, acc).
func (q kRef) exact(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	var scale, offset float32
	return floatStep(func(panel []byte, lane, i int) float32 {
		if i%q.sub == 0 {
			scale, offset = q.scale(panel, lane, i)
		}
		return fma32(float32(q.q(panel, lane, i)), scale, offset)
	})(acc, panel, lane, row, k)
}

// int8 is the exact sum of what has one scale, then the scales.
func (q kRef) int8(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	for b := range k / 32 {
		act, at := row[b*(len(row)/(k/32)):], 8
		if q.bits == 6 {
			at = 12
		}
		sum := func(from, to int) (sum int) {
			for i := from; i < to; i++ {
				sum += q.q(panel, lane, 32*b+i) * int(int8(act[at+i]))
			}
			return sum
		}
		start := func(i int) int { return int(int32(binary.LittleEndian.Uint32(act[4+4*i:]))) }
		scale, offset := q.scale(panel, lane, 32*b)
		switch {
		case q.bits == 6:
			second, _ := q.scale(panel, lane, 32*b+16)
			u := fma32(second, float32(sum(16, 32)+start(1)), scale*float32(sum(0, 16)+start(0)))
			acc = fma32(u, float(act, 0), acc)
			continue
		case q.minima:
			acc = fma32(offset, float(act, 1), acc)
			acc = fma32(scale*float(act, 0), float32(sum(0, 32)), acc)
		default:
			acc = fma32(scale*float(act, 0), float32(sum(0, 32)+start(0)), acc)
		}
	}
	return acc
}

// panel is random blocks with small finite scales.
func (q kRef) panel(r *rand.Rand, k int) []byte {
	p := make([]byte, k/q.k*16*q.bytes)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	for b := range k / q.k {
		for i := range 8 * q.head {
			h := p[b*16*q.bytes+2*i:][:2]
			h[1] = h[1]&0x83 | 0x28
		}
	}
	return p
}

// halves is the exact definition of QuantizeHalves.
func (q blockRef) halves(x []float32, k int) []byte {
	var out []byte
	for b := range k / 32 {
		one := q.quantized(x[32*b:], 32)
		out = append(out, one[:4]...)
		for h := range 2 {
			sum := 0
			for _, v := range one[8+16*h:][:16] {
				sum += int(int8(v))
			}
			out = binary.LittleEndian.AppendUint32(out, uint32(int32(-q.bias*sum)))
		}
		out = append(out, one[8:]...)
	}
	return out
}

func (q kRef) kinds(name string) (exact, int8 Kind) {
	row := q.quantized
	if q.bits == 6 {
		row = q.halves
	}
	return Kind{"Exact" + name, q.panel, floatBytes, q.k, q.exact}, Kind{"Int8" + name, q.panel, row, q.k, q.int8}
}

// The kinds of panels of q of five or six bits, or of scales of two levels.
var (
	ExactQ5_0, Int8Q5_0 = kRef{blockRef{22, 2, 16, false}, 32, 5, 32}.kinds("Q5_0")
	ExactQ5_1, Int8Q5_1 = kRef{blockRef{24, 4, 0, true}, 32, 5, 32}.kinds("Q5_1")
	ExactQ4_K, Int8Q4_K = kRef{blockRef{144, 4, 0, true}, 256, 4, 32}.kinds("Q4_K")
	ExactQ5_K, Int8Q5_K = kRef{blockRef{176, 4, 0, true}, 256, 5, 32}.kinds("Q5_K")
	ExactQ6_K, Int8Q6_K = kRef{blockRef{210, 2, 32, false}, 256, 6, 16}.kinds("Q6_K")
)
