// Package simd owns the numeric kernels of the CPU backend and the team of
// goroutines that runs them. It knows slices and matrices of weights, not
// models; it imports nothing of the project but internal/.
//
// Kernels are reached through a unit, a table of functions that is chosen once
// per process from the processor's features (cpu.go). Package pure is the unit
// that is always there; packages avx2, avx512 and neon are reached by build tag
// and feature, and removed by the tag purego; package amx replaces some kernels of
// an AVX-512 plan. A Plan says which kernel multiplies which weight type in exact
// and in fast mode.
//
// One kernel computes one weight type for every number of rows, with one order
// for each sum, so that a row has the same bits alone and in company. The
// pure unit takes weights as they are stored; the others take panels (panel.go).
package simd

//go:generate go run ./_asm .
