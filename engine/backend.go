package engine

import (
	"context"

	"github.com/llama-go/llama-go/weights"
)

// BlockSize is the number of positions in a KV block.
const BlockSize = 64

// Precision names a numerics mode.
type Precision string

const (
	// Exact computes with float32 activations, accumulation and KV.
	Exact Precision = "exact"
	// Fast may use 16-bit or int8 activations and 16-bit KV, within a bound
	// that is stated for each weight type.
	Fast Precision = "fast"
)

// BackendOptions are what a backend needs beside the model.
type BackendOptions struct {
	Precision Precision
	Quantize  Quantize // what matrices are converted to; the source has none that are quantized already
	Threads   int      // 0: all cores
	MaxBlocks int      // the most KV blocks that will ever be named
}

// OpenBackend makes a backend of one model. It checks that every tensor the
// config implies is there in the right shape before it computes anything.
// progress, which may be nil, is told the bytes touched so far and in total.
type OpenBackend func(ctx context.Context, cfg weights.Config, src weights.Source, opt BackendOptions,
	progress func(done, total int64)) (Backend, error)

// Footprint is the memory that a backend takes for a model, in bytes.
type Footprint struct {
	Copied  int64 // its own copies of weights: panels, quantized matrices
	InPlace int64 // tensors of the source that it goes on reading where they lie
	KVBlock int64 // one KV block
}

// Estimate tells what a backend that is opened so takes, without opening it.
// typeOf is the stored type of a canonical name, 0 for tensors that do not count.
type Estimate func(cfg weights.Config, typeOf func(name string) weights.DType, opt BackendOptions) Footprint

// Backend computes forward passes of one model. It is driven by one goroutine.
type Backend interface {
	// Step runs the rows of b and returns what each row wants. It may be left
	// between layers when ctx ends: then no KV position of b counts as written.
	// Greedy and log-probability results of a row never depend on its company,
	// on its chunking or on the number of threads (bit-equal).
	Step(ctx context.Context, b *Batch) (*Result, error)
	// KVBlockBytes is the memory that one block takes.
	KVBlockBytes() int64
	// Describe says which unit computes which type, for doctor and %info.
	Describe() string
	Close() error
}

// Batch is a set of rows that go through the model together; they may differ
// in length.
type Batch struct {
	Rows []Row
}

// Row is a run of new positions of one sequence.
type Row struct {
	Tokens []int32 // (n,) ids at positions Start … Start+n-1
	Start  int     // positions [0, Start) are in the KV already
	Blocks []int32 // block i holds positions [i·BlockSize, (i+1)·BlockSize)
	// Logits says of which of the n positions the logits are wanted: the last
	// LastN (0: none).
	LastN int
}

// Result holds, for each row, its logits, (LastN, vocab) float32 row-major. The
// memory is the backend's until the next Step.
type Result struct {
	Logits [][]float32
}
