// Package neon holds the arm64 kernels of package simd: tiles that multiply panels
// of weights, and kernels on one row of activations. They compute what those of
// package avx512 do, in the same order and with the same bits. Every arm64
// processor has what they need but for two kinds: the Int8 tiles need SDOT
// (FEAT_DotProd), the Mixed ones need USDOT (FEAT_I8MM); the Mull tiles stand in for
// them.
//
// SMMLA is not used. From these panels it wants its weights interleaved on the
// way, a ZIP for every two products of a pair of rows, and its sums untangled
// behind every 32 weights: with the rows that fit the registers that is as many
// instructions as SDOT takes. BFDOT is not used either: its sums are rounded to
// odd, an order of its own.
//
// The assembly and its stubs are written by simd/_asm.
package neon
