// Package avx2 holds the AVX2 kernels of package simd: tiles that multiply panels
// of weights, and kernels on one row of activations. Whoever calls them has made
// sure that the processor has AVX2, FMA and F16C.
//
// Kernels take the steps of those of package avx512 in the same order, sixteen
// lanes as two vectors, so that they give the same bits.
//
// The assembly and its stubs are written by simd/_asm.
package avx2
