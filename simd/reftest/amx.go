package reftest

import (
	"math"
	"math/rand/v2"
)

// BF16Tiles is what TDPBF16PS computes for each 32 of k: an even and an odd chain
// from 0, their sum, then the sum with acc. Its panels are those of BF16.
var BF16Tiles = Kind{"BF16Tiles", func(r *rand.Rand, k int) []byte { return halves(r, k, roundBF16) },
	bfloatBytes, 32, func(acc float32, panel []byte, lane int, row []byte, k int) float32 {
		for at := 0; at < k; at += 32 {
			var sums [2]float32
			for i := at; i < at+32; i++ {
				sums[i%2] = flushedFMA(bfloat(u16(row, i)), pairWeight(panel, lane, i), sums[i%2])
			}
			acc = flushedFMA(1, acc, flushedFMA(1, sums[0], sums[1]))
		}
		return acc
	}}

// flushed is f, or a zero of its sign below the normal numbers.
func flushed(f float32) float32 {
	if math.Float32bits(f)&0x7f800000 == 0 {
		return float32(math.Copysign(0, float64(f)))
	}
	return f
}

// flushedFMA is a·b + c rounded once, where numbers below the normal ones are
// taken and given as zeros. What is small is told after it is rounded to 24 bits: a
// result that rounds up to the smallest normal number is that number. The product
// of two bfloat16, or of 1 and a float32, is exact in float64.
func flushedFMA(a, b, c float32) float32 {
	a, b, c = flushed(a), flushed(b), flushed(c)
	const smallest, least = 0x1p-126, 0x1p-126 - 0x1p-151
	sum := math.FMA(float64(a), float64(b), float64(c)) // one rounding to 53 bits
	if size := math.Abs(sum); size < smallest {
		// Rounding to 53 bits does not cross least, which has 26.
		if size < least {
			return float32(math.Copysign(0, sum))
		}
		return float32(math.Copysign(smallest, sum))
	}
	return fma32(a, b, c)
}

// BF16Special draws a bfloat16 of a family: normal numbers, wide exponents, any
// finite bits, subnormal ones beside large ones, few bits that make ties, products
// about the smallest normal number, zeros, and infinities and NaNs.
func BF16Special(r *rand.Rand, family int) uint16 {
	bits := func(exponent, mantissa int) uint16 { return uint16(r.IntN(2)<<15 | exponent<<7 | mantissa) }
	normal := roundBF16(float32(r.NormFloat64()))
	switch rare := r.IntN(40) == 0; family {
	case 1:
		return bits(40+r.IntN(48), r.IntN(128))
	case 2:
		return bits(r.IntN(255), r.IntN(128))
	case 3:
		if r.IntN(2) == 0 {
			return bits(r.IntN(3), r.IntN(128))
		}
		return bits(120+r.IntN(12), r.IntN(128))
	case 4:
		return bits(115+r.IntN(24), r.IntN(4)<<5)
	case 5:
		return bits(63+r.IntN(3), r.IntN(128))
	case 6:
		if r.IntN(2) == 0 {
			return bits(0, 0)
		}
	case 7:
		if rare {
			return bits(255, r.IntN(2)<<6)
		}
	}
	return normal
}

// BF16Families is the number of families of BF16Special.
const BF16Families = 8
