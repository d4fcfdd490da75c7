// Package simd owns the numeric kernels of the CPU backend and the team of
// goroutines that runs them. It knows slices and matrices of stored weights,
// not models; it imports nothing of the project but internal/.
//
// Kernels are reached through a unit, a table of functions that is chosen once
// per process from the processor's features (cpu.go). Package pure is the unit
// that is always there. One unit computes one weight type for every number of
// rows, so that a row has the same bits alone and in company.
package simd
