// Package amx holds the kernels of package simd that use the tiles of Intel's AMX:
// 8 registers of 16 rows of 64 bytes. They multiply the panels of package avx512's
// tiles, which are tiles of the right operand as they lie, and replace some of
// those tiles; so whoever calls them has made sure of AVX512F, BW, DQ and VL too.
//
// The assembly and its stubs are written by simd/_asm. Every function configures
// the tiles and releases them: a signal that finds none in use costs less, and
// nothing is left for the next goroutine of the thread.
//
// The tests skip where there is no AMX. Elsewhere the static test binary of
// `CGO_ENABLED=0 go test -c ./simd/amx`, with -test.short, can be the first program
// of a small Linux in an emulator that has AMX and saves tiles with XSAVE and XFD.
package amx
