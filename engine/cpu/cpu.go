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
	plan      *simd.Plan
	panels    *simd.Memory // of the model's matrices
	attn      *simd.Attention
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
// implies, and reads all their bytes: matrices are packed for the unit that
// multiplies them, one after another, or touched where it takes them as they
// are. With opt.Quantize all matrices of floats are quantized on the way: see
// quantizedType. progress, which may be nil, is told the bytes read.
//
// The weights stay src's: they must outlive the backend, which never closes src.
// Errors are *ConfigError, *TensorError, *WeightsGoneError, *engine.RequestError
// or the context's.
func Open(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions,
	progress func(done, total int64)) (engine.Backend, error) {
	return open(ctx, cfg, src, opt, "", progress)
}

func open(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions, cacheDir string,
	progress func(done, total int64)) (engine.Backend, error) {
	switch opt.Precision {
	case "", engine.Exact, engine.Fast:
	default:
		return nil, &ConfigError{"precision", fmt.Sprintf("%q", opt.Precision), `"exact" or "fast"`}
	}
	if err := opt.Quantize.Check(); err != nil {
		return nil, err
	}
	if err := checkConfig(cfg); err != nil {
		return nil, err
	}
	rope, err := newRopeTable(cfg, src.RopeFactors())
	if err != nil {
		return nil, err
	}
	b := &backend{
		plan: simd.NewPlan(opt.Precision == engine.Fast), maxBlocks: opt.MaxBlocks, rope: rope,
		pool: simd.NewPool(min(opt.Threads, maxTeam*runtime.GOMAXPROCS(0))),
	}
	l := loader{ctx: ctx, plan: b.plan, pool: b.pool, quantize: opt.Quantize, cacheDir: cacheDir, progress: progress}
	if b.model, b.panels, err = l.load(cfg, src); err != nil {
		b.pool.Close()
		return nil, err
	}
	b.attn = b.plan.NewAttention(cfg.HeadDim, engine.BlockSize)
	b.kv = newKVPool(cfg.NumHiddenLayers, cfg.NumKeyValueHeads, b.attn)
	b.scratch.init(b.model, b.attn, b.pool.Size())
	return b, nil
}

// KVBlockBytes is the memory of one block: K and V of all layers.
func (b *backend) KVBlockBytes() int64 { return int64(b.kv.bytes) }

// Describe says what computes.
func (b *backend) Describe() string {
	mode := engine.Exact
	if b.plan.Fast {
		mode = engine.Fast
	}
	return fmt.Sprintf("%s; %d threads on %d processors; %s: %s",
		simd.Describe(), b.pool.Size(), runtime.GOMAXPROCS(0), mode, b.plan.Describe())
}

// Close ends the worker goroutines and gives panels and KV back. The weights
// stay open.
func (b *backend) Close() error {
	b.pool.Close()
	b.err = ErrClosed
	b.kv.free()
	b.panels.Free()
	b.model, b.logits, b.scratch = nil, nil, scratch{}
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
