//go:build amd64 && !purego

package shared

import (
	"fmt"
	"math"
	"unsafe"
)

// checkLen panics when two lengths that must agree do not: a bug of the caller.
func checkLen(op string, want, got int) {
	if want != got {
		panic(fmt.Sprintf("simd/shared: %s: slices of %d and %d elements", op, want, got))
	}
}

func ptr[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// Prefetch asks for memory that will be read soon, into the second cache.
func Prefetch(p []byte) {
	if len(p) > 0 {
		prefetch(ptr(p), len(p))
	}
}

// Add is
//
//	for i, v := range x {
//		dst[i] += v
//	}
func Add(dst, x []float32) { // dst, x: (n,)
	checkLen("Add", len(dst), len(x))
	add(ptr(dst), ptr(x), len(x))
}

// RMSNorm is
//
//	for i, v := range x {
//		s[i%16] = fma(v, v, s[i%16])
//	}
//	for _, half := range []int{8, 4, 2, 1} {
//		for i := range half {
//			s[i] += s[i+half]
//		}
//	}
//	r := 1 / sqrt(s[0]/n + eps)
//	for i, v := range x {
//		dst[i] = (v * r) * w[i]
//	}
//
// where r is computed in float64 and then rounded. dst may be x.
func RMSNorm(dst, x, w []float32, eps float64) { // dst, x, w: (n,)
	checkLen("RMSNorm", len(dst), len(x))
	checkLen("RMSNorm", len(dst), len(w))
	var s float32
	sumSquares(unsafe.Pointer(&s), ptr(x), len(x))
	r := float32(1 / math.Sqrt(float64(s)/float64(len(x))+eps))
	scaleMul(ptr(dst), ptr(x), ptr(w), unsafe.Pointer(&r), len(x))
}

// Softmax is
//
//	m := max(x * scale)
//	for i := range x {
//		x[i] = exp(x[i]*scale - m)
//		s[i%16] += x[i]
//	}
//	fold s as RMSNorm does
//	for i := range x {
//		x[i] *= 1 / s[0]
//	}
//
// exp is Cephes expf with FMAs, the argument cut to [-87.3, 88.7].
func Softmax(x []float32, scale float32) { // x: (n,)
	if len(x) > 0 {
		softmax(ptr(x), unsafe.Pointer(&scale), len(x))
	}
}

// SiLUMul is
//
//	for i, g := range gate {
//		dst[i] = g / (1 + exp(-g)) * up[i]
//	}
//
// with the exp of Softmax. dst may be gate or up.
func SiLUMul(dst, gate, up []float32) { // dst, gate, up: (n,)
	checkLen("SiLUMul", len(dst), len(gate))
	checkLen("SiLUMul", len(dst), len(up))
	siluMul(ptr(dst), ptr(gate), ptr(up), len(dst))
}

// RopeHalves turns the pairs (x[i], x[i+n]) of one head, n = len(cos):
//
//	for i := range cos {
//		a, b := x[i], x[i+n]
//		x[i] = fma(a, cos[i], -(b*sin[i]))
//		x[i+n] = fma(b, cos[i], a*sin[i])
//	}
func RopeHalves(x, cos, sin []float32) { // x: (2n,), cos, sin: (n,)
	checkLen("RopeHalves", 2*len(cos), len(x))
	checkLen("RopeHalves", len(cos), len(sin))
	ropeHalves(ptr(x), ptr(cos), ptr(sin), len(cos))
}

// RopeInterleaved turns the pairs (x[2i], x[2i+1]) of one head:
//
//	for i := range cos {
//		a, b := x[2*i], x[2*i+1]
//		x[2*i] = fma(a, cos[i], -(b*sin[i]))
//		x[2*i+1] = fma(b, cos[i], a*sin[i])
//	}
func RopeInterleaved(x, cos, sin []float32) { // x: (2n,), cos, sin: (n,)
	checkLen("RopeInterleaved", 2*len(cos), len(x))
	checkLen("RopeInterleaved", len(cos), len(sin))
	ropeInterleaved(ptr(x), ptr(cos), ptr(sin), len(cos))
}

// BlockBytes is the size of an int8 activation block: a float32 scale, four
// bytes of sum, 32 int8.
const BlockBytes = 40

// QuantizeBias is, for each block of 32 elements,
//
//	scale = max(|x|) / 127
//	q[k] = round(x[k] * min(127/max(|x|), the largest float32)), ties to even
//	sum = int32(bias * Σ q)
func QuantizeBias(dst []byte, x []float32, bias int) { // dst: (40n,), x: (32n,)
	checkLen("QuantizeBias", len(dst)*32, len(x)*BlockBytes)
	quantizeBias(ptr(dst), ptr(x), len(x), bias)
}

// QuantizeSum is QuantizeBias with
//
//	sum = scale * float32(Σ q)
func QuantizeSum(dst []byte, x []float32) { // dst: (40n,), x: (32n,)
	checkLen("QuantizeSum", len(dst)*32, len(x)*BlockBytes)
	quantizeSum(ptr(dst), ptr(x), len(x), 0)
}

// HalvesBlockBytes is the size of an activation block with two sums: a float32
// scale, two int32, 32 int8.
const HalvesBlockBytes = 44

// QuantizeHalves is QuantizeBias with a sum for each half of the block:
//
//	sum[h] = int32(bias * Σ q[16*h … 16*h+15])
func QuantizeHalves(dst []byte, x []float32, bias int) { // dst: (44n,), x: (32n,)
	checkLen("QuantizeHalves", len(dst)*32, len(x)*HalvesBlockBytes)
	quantizeHalves(ptr(dst), ptr(x), len(x), bias)
}

// ToF16 is
//
//	for i, v := range x {
//		dst[i] = v as binary16, ties to even
//	}
//
// dst may be the beginning of x's memory.
func ToF16(dst []uint16, x []float32) { // dst, x: (n,)
	checkLen("ToF16", len(dst), len(x))
	toF16(ptr(dst), ptr(x), len(x))
}
