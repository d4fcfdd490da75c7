//go:build arm64 && !purego

package neon

import (
	"fmt"
	"math"
	"unsafe"
)

// checkLen panics when two lengths that must agree do not: a bug of the caller.
func checkLen(op string, want, got int) {
	if want != got {
		panic(fmt.Sprintf("simd/neon: %s: slices of %d and %d elements", op, want, got))
	}
}

func ptr[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// lanes are one of 16 elements each: the sums of a kernel, or what is left of
// a row, padded.
type lanes [16]float32

func (l *lanes) ptr() unsafe.Pointer { return unsafe.Pointer(l) }

// padded is the last, incomplete vector of x.
func padded(x []float32) (l lanes) {
	copy(l[:], x)
	return l
}

// whole is n without what does not fill a vector.
func whole(n int) int { return n &^ 15 }

// fold adds the lanes: lane i with i+8, then with i+4, i+2, i+1.
func (l *lanes) fold() float32 {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			l[i] += l[i+half]
		}
	}
	return l[0]
}

// Prefetch asks for memory that will be read soon, into the second cache.
func Prefetch(p []byte) {
	if len(p) > 0 {
		prefetch(len(p), ptr(p))
	}
}

// Add is
//
//	for i, v := range x {
//		dst[i] += v
//	}
func Add(dst, x []float32) { // dst, x: (n,)
	checkLen("Add", len(dst), len(x))
	n := whole(len(x))
	if n > 0 {
		add(n, ptr(dst), ptr(x))
	}
	for i := n; i < len(x); i++ {
		dst[i] += x[i]
	}
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
	n, s := whole(len(x)), lanes{}
	if n > 0 {
		sumSquares(n, s.ptr(), ptr(x))
	}
	if n < len(x) {
		rest := padded(x[n:])
		sumSquares(16, s.ptr(), rest.ptr())
	}
	r := float32(1 / math.Sqrt(float64(s.fold())/float64(len(x))+eps))
	if n > 0 {
		scaleMul(n, ptr(dst), ptr(x), ptr(w), unsafe.Pointer(&r))
	}
	for i := n; i < len(x); i++ {
		dst[i] = float32(x[i]*r) * w[i]
	}
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
	if len(x) == 0 {
		return
	}
	n := whole(len(x))
	rest := padded(x[n:])
	for i := len(x) - n; i < 16; i++ {
		rest[i] = x[len(x)-1] // no larger than the largest
	}
	var most, s, exps lanes
	for i := range most {
		most[i] = float32(math.Inf(-1))
	}
	if n > 0 {
		scaleMax(n, most.ptr(), ptr(x), unsafe.Pointer(&scale))
	}
	if n < len(x) {
		scaleMax(16, most.ptr(), rest.ptr(), unsafe.Pointer(&scale))
	}
	m := most[0]
	for _, v := range most[1:] {
		m = max(m, v)
	}
	if n > 0 {
		expSum(n, s.ptr(), ptr(x), unsafe.Pointer(&m))
	}
	if n < len(x) {
		expSum(16, exps.ptr(), rest.ptr(), unsafe.Pointer(&m))
	}
	for i := range len(x) - n {
		s[i] += rest[i]
	}
	r := 1 / s.fold()
	if n > 0 {
		scaleAll(n, ptr(x), unsafe.Pointer(&r))
	}
	for i := n; i < len(x); i++ {
		x[i] = rest[i-n] * r
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
	n := whole(len(dst))
	if n > 0 {
		siluMul(n, ptr(dst), ptr(gate), ptr(up))
	}
	if n < len(dst) {
		g, u := padded(gate[n:]), padded(up[n:])
		siluMul(16, g.ptr(), g.ptr(), u.ptr())
		copy(dst[n:], g[:])
	}
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
	x0, x1 := x[:len(cos)], x[len(cos):]
	n := whole(len(cos))
	if n > 0 {
		ropeHalves(n, ptr(x0), ptr(x1), ptr(cos), ptr(sin))
	}
	if n < len(cos) {
		a, b, c, s := padded(x0[n:]), padded(x1[n:]), padded(cos[n:]), padded(sin[n:])
		ropeHalves(16, a.ptr(), b.ptr(), c.ptr(), s.ptr())
		copy(x0[n:], a[:])
		copy(x1[n:], b[:])
	}
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
	n := whole(len(x))
	if n > 0 {
		ropeInterleaved(n, ptr(x), ptr(cos), ptr(sin))
	}
	if n < len(x) {
		a, c, s := padded(x[n:]), padded(cos[n/2:]), padded(sin[n/2:])
		ropeInterleaved(16, a.ptr(), c.ptr(), s.ptr())
		copy(x[n:], a[:])
	}
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
	if len(x) > 0 {
		quantizeBias(len(x), ptr(dst), ptr(x), bias)
	}
}

// QuantizeSum is QuantizeBias with
//
//	sum = scale * float32(Σ q)
func QuantizeSum(dst []byte, x []float32) { // dst: (40n,), x: (32n,)
	checkLen("QuantizeSum", len(dst)*32, len(x)*BlockBytes)
	if len(x) > 0 {
		quantizeSum(len(x), ptr(dst), ptr(x), 0)
	}
}

// HalvesBlockBytes is the size of an activation block with two sums: a float32
// scale, two int32, 32 int8.
const HalvesBlockBytes = 44

// QuantizeHalves is QuantizeBias with a sum for each half of the block:
//
//	sum[h] = int32(bias * Σ q[16*h … 16*h+15])
func QuantizeHalves(dst []byte, x []float32, bias int) { // dst: (44n,), x: (32n,)
	checkLen("QuantizeHalves", len(dst)*32, len(x)*HalvesBlockBytes)
	if len(x) > 0 {
		quantizeHalves(len(x), ptr(dst), ptr(x), bias)
	}
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
	n := whole(len(x))
	rest := padded(x[n:])
	if n > 0 {
		toF16(n, ptr(dst), ptr(x))
	}
	if n < len(x) {
		var half [16]uint16
		toF16(16, unsafe.Pointer(&half), rest.ptr())
		copy(dst[n:], half[:])
	}
}
