// Package cpu computes Llama's forward pass on the processor: it binds the
// tensors of a weights.Source, owns the memory of the KV blocks, and answers
// engine.Backend's Step with the numeric kernels of package simd.
//
// It imports engine, simd and weights, and never the scheduler, messaging or
// the kernel.
//
// Where the processor has a unit for it, matrices are packed at Open for that
// unit, in memory of the backend's own, and the file's pages are given back; a
// simd.Plan says which type is multiplied how in exact and in fast mode. Other
// weights are read where the files are mapped, in their stored type; a file that
// shrinks under the mapping makes Step return a *WeightsGoneError, and the
// backend stays unusable from then on.
//
// With BackendOptions.Quantize matrices of floats are quantized at Open, one after
// another, to the own formats of package simd: all to eight bits, or those of the
// layers to four. The source keeps what it was; OpenCached keeps what it became.
//
// Results do not depend on the number of threads, on how a prompt is cut into
// steps, or on the other rows of a batch: every sum has one order, that of its
// kernel's doc comment in package simd and its units.
package cpu
