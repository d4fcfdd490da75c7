package cpu

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

var _ engine.OpenBackend = Open

// backend implements engine.Backend.
type backend struct {
	model     *model
	precision engine.Precision
	maxBlocks int
	rope      *ropeTable
	kv        *kvPool
	pool      *simd.Pool
	scratch   scratch
	logits    []float32 // of the last Step, all rows
	err       error     // sticky: *WeightsGoneError, ErrClosed
}

// maxTeam bounds the threads that an option may ask for, per processor: more
// only wait for each other.
const maxTeam = 4

// Open makes the CPU backend of a model. It checks every tensor that the config
// implies, and touches all their bytes, so that a first answer finds them in
// memory; progress, which may be nil, is told the bytes touched.
//
// The weights stay src's: they must outlive the backend, which never closes src.
// Both precisions compute the same today. Errors are *ConfigError, *TensorError,
// *WeightsGoneError or the context's.
func Open(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions,
	progress func(done, total int64)) (engine.Backend, error) {
	switch opt.Precision {
	case "", engine.Exact, engine.Fast:
	default:
		return nil, &ConfigError{"precision", fmt.Sprintf("%q", opt.Precision), `"exact" or "fast"`}
	}
	if err := checkConfig(cfg); err != nil {
		return nil, err
	}
	rope, err := newRopeTable(cfg, src.RopeFactors())
	if err != nil {
		return nil, err
	}
	m, err := load(ctx, cfg, src, progress)
	if err != nil {
		return nil, err
	}
	b := &backend{
		model: m, precision: opt.Precision, maxBlocks: opt.MaxBlocks, rope: rope,
		kv:   newKVPool(cfg.NumHiddenLayers, cfg.NumKeyValueHeads, cfg.HeadDim),
		pool: simd.NewPool(min(opt.Threads, maxTeam*runtime.GOMAXPROCS(0))),
	}
	b.scratch.init(m, b.pool.Size())
	return b, nil
}

// KVBlockBytes is the memory of one block: float32 K and V of all layers.
func (b *backend) KVBlockBytes() int64 { return 4 * int64(b.kv.floats) }

// Describe says what computes.
func (b *backend) Describe() string {
	mode := "exact"
	if b.precision == engine.Fast {
		mode = "fast (computes as exact)"
	}
	return fmt.Sprintf("%s; %d threads on %d processors; %s: float32 activations, accumulation and KV",
		simd.Describe(), b.pool.Size(), runtime.GOMAXPROCS(0), mode)
}

// Close ends the worker goroutines and drops the KV. The weights stay open.
func (b *backend) Close() error {
	b.pool.Close()
	b.err = ErrClosed
	b.kv.blocks, b.logits, b.scratch = nil, nil, scratch{}
	return nil
}

// fail turns a recovered fault on mapped memory into a *WeightsGoneError, which
// sticks, and passes other errors on.
func (b *backend) fail(err error) error {
	if err = classify(err); errors.Is(err, ErrWeightsGone) {
		b.err = err
	}
	return err
}

// classify tells a fault at a mapped address from other panics: the runtime's
// error then carries the address (runtime/debug.SetPanicOnFault).
func classify(err error) error {
	var p *safe.PanicError
	if errors.As(err, &p) {
		if f, ok := p.Value.(interface{ Addr() uintptr }); ok {
			return &WeightsGoneError{f.Addr()}
		}
	}
	return err
}
