//go:build arm64 && !purego

package neon

import "unsafe"

// Hadamard is pure.Hadamard of src; dst may be src.
func Hadamard(dst, src []float32) { // dst, src: (64n,)
	checkLen("Hadamard", len(dst), len(src))
	checkLen("Hadamard", 0, len(src)%64)
	if len(src) > 0 {
		hadamard(len(src), ptr(dst), ptr(src))
	}
}

// QuantizeOwn makes groups of int8 activations for the tiles of I8 and I4: for each
// group of 256 elements or of what is left, of x turned by Hadamard,
//
//	scale = max(|x|) / 127
//	q[k] = round(x[k] * min(127/max(|x|), the largest float32)), ties to even
//	float32 scale, int32 -128·Σq, float32 scale·Σq of the first 128, of the others
//	48 bytes that are left alone, then q
func QuantizeOwn(dst []byte, x []float32) { // dst: (64·⌈n/256⌉+n,), x: (n,), n%64 = 0
	const head, group = 64, 256
	checkLen("QuantizeOwn", (len(x)+group-1)/group*head+len(x), len(dst))
	checkLen("QuantizeOwn", 0, len(x)%64)
	var turned [group]float32
	for len(x) > 0 {
		n := min(group, len(x))
		hadamard(n, unsafe.Pointer(&turned), ptr(x))
		quantizeOwn(n, ptr(dst), unsafe.Pointer(&turned))
		x, dst = x[n:], dst[head+n:]
	}
}

// SumFit is pure.SumFit with d, m and factor of line.
func SumFit(fit *[5]float32, w []float32, line *[3]float32) { // w: (16n,)
	checkLen("SumFit", 0, len(w)%16)
	var s [5]lanes
	if len(w) > 0 {
		sumFit(len(w), unsafe.Pointer(&s), ptr(w), unsafe.Pointer(line))
	}
	for i := range fit {
		fit[i] = s[i].fold()
	}
}
