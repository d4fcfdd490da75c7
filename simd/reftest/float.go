package reftest

import (
	"math"

	"github.com/x448/float16"
)

// fma32 is a·b + c rounded once: the product is exact in float64, the sum is
// rounded to odd there, so that the rounding to float32 is the only one.
func fma32(a, b, c float32) float32 {
	p, q := float64(a)*float64(b), float64(c)
	s := p + q
	back := s - p
	lost := (p - (s - back)) + (q - back) // what the sum lost, exactly (Knuth)
	if lost != 0 && !math.IsInf(s, 0) && !math.IsNaN(s) {
		if bits := math.Float64bits(s); bits&1 == 0 {
			if (lost > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	return float32(s)
}

func half(h uint16) float32 { return float16.Frombits(h).Float32() }

func bfloat(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// roundBF16 is VCVTNEPS2BF16.
func roundBF16(x float32) uint16 {
	b := math.Float32bits(x)
	switch {
	case b&0x7f800000 == 0: // zero or subnormal
		return uint16(b >> 31 << 15)
	case x != x:
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func toHalf(x float32) uint16 { return float16.Fromfloat32(x).Bits() }

// exp is e^x of the units: Cephes expf (netlib.org/cephes, single/expf.c) by
// FMAs, the argument cut to [-87.3, 88.7].
func exp(x float32) float32 {
	if x != x {
		return x
	}
	x = min(max(x, -87.3), 88.7)
	n := float32(math.RoundToEven(float64(x * math.Log2E)))
	x = fma32(-0.693359375, n, x)
	x = fma32(2.12194440e-4, n, x)
	p := float32(1.9875691500e-4)
	for _, c := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		p = fma32(p, x, c)
	}
	return float32(math.Ldexp(float64(fma32(p, x*x, x+1)), int(n)))
}

// fold adds 16 lanes as the units do.
func fold(s [16]float32) float32 {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[i+half]
		}
	}
	return s[0]
}
