package kernel

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/weights"
)

// instance is one set of weights and, from the first use on, the engine that
// computes with it. A shared instance belongs to the registry, a private one
// to the handle that made it. Handles, sessions and running requests each hold
// a reference; the last one closes it, unless the registry keeps it alive.
type instance struct {
	reg       *registry
	cfg       weights.Config
	src       weights.Source // valid while a reference is held
	private   bool
	precision engine.Precision
	quantize  engine.Quantize
	threads   int
	maxBatch  int // for the memory check of a private one
	maxSeqLen int

	opening chan struct{} // capacity 1: who makes the engine
	eng     *engine.Engine

	// Guarded by reg.mu.
	refs     int
	kept     bool // the registry keeps a shared one while nobody holds it
	lastUsed time.Time

	active counter // requests that run or wait
}

// counter is an int that several goroutines move.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add(d int) { c.mu.Lock(); c.n += d; c.mu.Unlock() }
func (c *counter) get() int  { c.mu.Lock(); defer c.mu.Unlock(); return c.n }

// acquire takes one more reference; the caller holds one.
func (in *instance) acquire() *instance {
	in.reg.mu.Lock()
	defer in.reg.mu.Unlock()
	in.refs++
	return in
}

// release drops a reference and closes what nobody holds any more.
func (in *instance) release() {
	in.reg.mu.Lock()
	in.refs--
	in.lastUsed = time.Now()
	last := in.refs == 0 && !in.kept
	in.reg.mu.Unlock()
	if last {
		in.close()
	}
}

// close frees engine and weights; nobody holds a reference.
func (in *instance) close() {
	if in.eng != nil {
		if err := in.eng.Close(); err != nil {
			in.reg.log.Warn("closing a model", "err", err)
		}
	}
	if err := in.src.Close(); err != nil {
		in.reg.log.Warn("closing weights", "err", err)
	}
	if in.private {
		giveBack(in.heapBytes())
	}
}

// heapBytes is about what a private instance has on Go's heap.
func (in *instance) heapBytes() int64 {
	n, _ := parameters(in.cfg).Mul(checked.Of(2)).Int64()
	return n
}

// engine returns the engine, making that of a private instance at its first
// use, after the memory check.
func (in *instance) engine(ctx context.Context) (*engine.Engine, error) {
	select {
	case in.opening <- struct{}{}:
		defer func() { <-in.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if in.eng != nil {
		return in.eng, nil
	}
	eng, err := retryEvicting(in.reg, func() (*engine.Engine, error) {
		return engine.OpenSource(ctx, in.cfg, borrowed{in.overlay()}, in.reg.open, engine.Options{
			Precision: in.precision, Quantize: in.quantize, Estimate: in.reg.estimate, Threads: in.threads, MaxBatch: in.maxBatch, MaxSeqLen: in.maxSeqLen,
		})
	})
	if err != nil {
		return nil, err
	}
	in.eng = eng
	return eng, nil
}

// loadedEngine is the engine, or nil while there is none.
func (in *instance) loadedEngine() *engine.Engine {
	select {
	case in.opening <- struct{}{}:
		defer func() { <-in.opening }()
		return in.eng
	default: // somebody makes it now
		return nil
	}
}

// keepOpen is a Source whose Close its user may call: the instance closes it.
type keepOpen struct{ weights.Source }

func (keepOpen) Close() error { return nil }

// Changed tells whether the files were written since they were opened.
func (k keepOpen) Changed() error { return weights.Changed(k.Source) }

// retryEvicting calls f again after every unreferenced shared model that it
// could free, for as long as memory is what f lacks.
func retryEvicting[T any](r *registry, f func() (T, error)) (T, error) {
	for {
		v, err := f()
		var m *engine.MemoryError
		if err == nil || !errors.As(err, &m) || !r.evictOne() {
			return v, err
		}
	}
}
