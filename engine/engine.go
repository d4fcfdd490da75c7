package engine

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/llama-go/llama-go/engine/sched"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/weights"
)

// Engine is a loaded model. Its weights never change; sessions share it. It is
// safe for concurrent use.
type Engine struct {
	cfg      weights.Config
	src      weights.Source
	tok      *tokenizer.Tokenizer // nil: none
	template string
	format   tokenizer.ChatFormat
	stop     []int32
	bytes    int64
	params   int64
	backend  Backend
	chunk    int // prompt positions of one step
	log      *slog.Logger

	maxBlocks int  // the most KV blocks that the backend may be asked for
	fixedKV   bool // the KV limit was given and does not follow the available memory

	mu      sync.Mutex // guards all below, the rows' Seqs, and Session.closed and job
	wake    *sync.Cond // something was submitted, or closing was set
	sched   *sched.Scheduler
	closing bool

	loopDone  chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// Config is the model's.
func (e *Engine) Config() weights.Config { return e.cfg }

// Tokenizer is the model's, nil when the checkpoint has none.
func (e *Engine) Tokenizer() *tokenizer.Tokenizer { return e.tok }

// ChatFormat is the one that the checkpoint's template or tokenizer tells, or "".
func (e *Engine) ChatFormat() tokenizer.ChatFormat { return e.format }

// ChatTemplate is the checkpoint's jinja text, or "".
func (e *Engine) ChatTemplate() string { return e.template }

// StopIDs are the ids that end a row by themselves.
func (e *Engine) StopIDs() []int32 { return slices.Clone(e.stop) }

// Parameters is the number of weights.
func (e *Engine) Parameters() int64 { return e.params }

// WeightBytes is the stored size of the weights.
func (e *Engine) WeightBytes() int64 { return e.bytes }

// KVBytes is what the rows of all sessions hold now.
func (e *Engine) KVBytes() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return int64(e.sched.Used()) * e.backend.KVBlockBytes()
}

// Describe says which unit computes which type.
func (e *Engine) Describe() string { return e.backend.Describe() }

// kvError explains a request whose KV could never fit.
func (e *Engine) kvError(large *sched.TooLargeError) error {
	block := e.backend.KVBlockBytes()
	return &MemoryError{
		What: "the request's KV cache", Needed: int64(large.Blocks) * block, Available: int64(large.Limit) * block,
		Detail: fmt.Sprintf("%d blocks of %d positions at worst, the limit is %d", large.Blocks, BlockSize, large.Limit),
		Remedies: []string{
			"use a shorter context: lower max_gen_len or max_seq_len, or pass fewer rows",
			`use precision="fast", whose KV cache may be 16-bit`,
			"use a smaller or a quantized model, which leaves more memory",
		},
	}
}

// fitKV adapts the KV limit to the memory that is available now, which other
// models and programs share: blocks that exist already, and as many more as four
// fifths of it hold. The lock is held.
func (e *Engine) fitKV(available int64) {
	more := min(available/5*4/max(1, e.backend.KVBlockBytes()), int64(e.maxBlocks))
	e.sched.SetLimit(min(e.maxBlocks, e.sched.Made()+int(more)))
}

// Close ends all requests, which return *ClosedError, and closes backend
// and weights, and all KV with them, when the loop has stopped. It may be called again.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		e.locked(func() {
			e.closing = true
			for _, t := range e.sched.Tasks() {
				t.Value.(*job).cancel(&ClosedError{"model"})
			}
			e.wake.Broadcast()
		})
		<-e.loopDone
		e.closeErr = e.backend.Close()
		if err := e.src.Close(); e.closeErr == nil {
			e.closeErr = err
		}
	})
	return e.closeErr
}
