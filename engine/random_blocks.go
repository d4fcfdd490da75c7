package engine

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/x448/float16"

	"github.com/llama-go/llama-go/weights"
)

// randomBlocks is the number of different blocks that a random matrix of a block
// type is made of.
const randomBlocks = 4096

// blockEncoders round a block of a type: the simplest choice of scales that
// ggml's layout allows, with no search for better ones.
var blockEncoders = map[string]func(dst []byte, x []float64){
	"Q8_0": encodeQ8,
	"Q4_0": func(dst []byte, x []float64) { encodeSymmetric(dst, x, 4) },
	"Q5_0": func(dst []byte, x []float64) { encodeSymmetric(dst, x, 5) },
	"Q4_1": func(dst []byte, x []float64) { encodeAffine(dst, x, 4) },
	"Q5_1": func(dst []byte, x []float64) { encodeAffine(dst, x, 5) },
	"Q4_K": func(dst []byte, x []float64) { encodeK(dst, x, 4) },
	"Q5_K": func(dst []byte, x []float64) { encodeK(dst, x, 5) },
	"Q6_K": encodeQ6K,
}

// RandomType tells whether RandomSource makes matrices of d.
func RandomType(d weights.DType) bool {
	_, ok := blockEncoders[d.String()]
	return ok || d == weights.F32 || d == weights.F16 || d == weights.BF16
}

// normalBlocks are randomBlocks blocks of N(0, 0.02), one after another.
func normalBlocks(d weights.DType) []byte {
	encode, size := blockEncoders[d.String()], d.BlockBytes()
	r := rand.New(rand.NewPCG(20, 26))
	all := make([]byte, randomBlocks*size)
	x := make([]float64, d.BlockSize())
	for b := range randomBlocks {
		for i := range x {
			x[i] = 0.02 * r.NormFloat64()
		}
		encode(all[b*size:][:size], x)
	}
	return all
}

// putBlocks fills part with blocks of a table; first is the number of its first
// block in the tensor.
func putBlocks(part, table []byte, size int, key, first uint64) {
	for ; len(part) >= size; first++ {
		b := int(splitmix64(key+first*golden) % randomBlocks)
		part = part[copy(part, table[b*size:][:size]):]
	}
}

// putHalf stores v as binary16 and returns what was stored.
func putHalf(dst []byte, v float64) float64 {
	h := float16.Fromfloat32(float32(v))
	binary.LittleEndian.PutUint16(dst, h.Bits())
	return float64(h.Float32())
}

// quantum is the integer in [0, most] nearest to v.
func quantum(v float64, most int) int { return min(max(int(math.RoundToEven(v)), 0), most) }

// divide is a/b, and 0 where b is.
func divide(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func encodeQ8(dst []byte, x []float64) {
	var most float64
	for _, v := range x {
		most = max(most, math.Abs(v))
	}
	d := putHalf(dst, most/127)
	for i, v := range x {
		dst[2+i] = byte(int8(quantum(divide(v, d)+127, 254) - 127))
	}
}

// encodeSymmetric is Q4_0 and Q5_0: d · (q - half), the largest value exact.
func encodeSymmetric(dst []byte, x []float64, bits int) {
	var most float64
	for _, v := range x {
		if math.Abs(v) > math.Abs(most) {
			most = v
		}
	}
	half := 1 << (bits - 1)
	d := putHalf(dst, -most/float64(half))
	putNibbles(dst[2:], bits, func(i int) int { return quantum(divide(x[i], d)+float64(half), 2*half-1) })
}

// encodeAffine is Q4_1 and Q5_1: d · q + m.
func encodeAffine(dst []byte, x []float64, bits int) {
	lo, hi := x[0], x[0]
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
	}
	most := 1<<bits - 1
	d, m := putHalf(dst, (hi-lo)/float64(most)), putHalf(dst[2:], lo)
	putNibbles(dst[4:], bits, func(i int) int { return quantum(divide(x[i]-m, d), most) })
}

// putNibbles stores the 32 integers of a block: fifth bits, if any, in four bytes,
// then element i in the low and i + 16 in the high half of byte i.
func putNibbles(dst []byte, bits int, q func(i int) int) {
	if bits == 5 {
		var high uint32
		for i := range 32 {
			high |= uint32(q(i)>>4) << i
		}
		binary.LittleEndian.PutUint32(dst, high)
		dst = dst[4:]
	}
	for i := range 16 {
		dst[i] = byte(q(i)&15 | q(i+16)&15<<4)
	}
}

// encodeK is Q4_K and Q5_K: d·scale·q - dmin·min, with a scale and a min of six
// bits for every 32 of the 256 elements.
func encodeK(dst []byte, x []float64, bits int) {
	most := 1<<bits - 1
	var scales, mins [8]float64
	var largest, deepest float64
	for s := range scales {
		var lo, hi float64
		for _, v := range x[s*32:][:32] {
			lo, hi = min(lo, v), max(hi, v)
		}
		scales[s], mins[s] = (hi-lo)/float64(most), -lo
		largest, deepest = max(largest, scales[s]), max(deepest, mins[s])
	}
	d, dmin := putHalf(dst, largest/63), putHalf(dst[2:], deepest/63)
	packed, high, low := dst[4:16], dst[16:16], dst[16:]
	if bits == 5 {
		high, low = dst[16:48], dst[48:]
		clear(high)
	}
	clear(packed)
	for s := range scales {
		sc, m := quantum(divide(scales[s], d), 63), quantum(divide(mins[s], dmin), 63)
		if s < 4 {
			packed[s] |= byte(sc)
			packed[s+4] |= byte(m)
		} else {
			packed[s+4] = byte(sc&15 | m&15<<4)
			packed[s-4] |= byte(sc >> 4 << 6)
			packed[s] |= byte(m >> 4 << 6)
		}
		for i, v := range x[s*32:][:32] {
			q := quantum(divide(v+dmin*float64(m), d*float64(sc)), most)
			if s%2 == 0 {
				low[s/2*32+i] = byte(q & 15)
			} else {
				low[s/2*32+i] |= byte(q & 15 << 4)
			}
			if bits == 5 {
				high[i] |= byte(q >> 4 << s)
			}
		}
	}
}

// encodeQ6K is d·scale·(q - 32), with a scale of eight bits for every 16 of the
// 256 elements: low halves in ql, two more bits in qh.
func encodeQ6K(dst []byte, x []float64) {
	ql, qh, packed := dst[:128], dst[128:192], dst[192:208]
	clear(dst)
	var scales [16]float64
	var largest float64
	for s := range scales {
		for _, v := range x[s*16:][:16] {
			scales[s] = max(scales[s], math.Abs(v)/31)
		}
		largest = max(largest, scales[s])
	}
	d := putHalf(dst[208:], largest/127)
	for s := range scales {
		sc := quantum(divide(scales[s], d), 127)
		packed[s] = byte(sc)
		for i, v := range x[s*16:][:16] {
			q := quantum(divide(v, d*float64(sc))+32, 63)
			at := s*16 + i
			half, quarter, l := at/128, at/32%4, at%32
			ql[half*64+quarter%2*32+l] |= byte(q & 15 << (quarter / 2 * 4))
			qh[half*32+l] |= byte(q >> 4 << (quarter * 2))
		}
	}
}
