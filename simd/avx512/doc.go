// Package avx512 holds the AVX-512 kernels of package simd: tiles that multiply
// panels of weights, and kernels on one row of activations. Whoever calls them
// has made sure that the processor has what each needs: AVX512F, BW, DQ and VL
// for all, VNNI for the int8 tiles, AVX512_BF16 for Bf16pairs and ToBF16.
//
// The assembly and its stubs are written by simd/_asm.
package avx512
