//go:build amd64 && !purego

package avx512

import "fmt"

// ToBF16 is
//
//	for i, v := range x {
//		dst[i] = v as bfloat16, ties to even, subnormal numbers as 0
//	}
//
// n is a multiple of 16.
func ToBF16(dst []uint16, x []float32) { // dst, x: (n,)
	checkLen("ToBF16", len(dst), len(x))
	if len(x)%16 != 0 {
		panic(fmt.Sprintf("simd/avx512: ToBF16: %d elements, want a multiple of 16", len(x)))
	}
	if len(x) > 0 {
		toBF16(ptr(dst), ptr(x), len(x))
	}
}
