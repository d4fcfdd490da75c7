package engine

import (
	"context"
	"errors"

	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/weights"
)

// Options of an engine.
type Options struct {
	Precision Precision               // "": Fast
	Threads   int                     // 0: all cores
	KVBytes   int64                   // limit for the KV of all sessions; 0: from available memory
	Progress  func(done, total int64) // bytes of weights touched; may be nil

	// MaxBatch and MaxSeqLen are what the memory check before the load counts
	// with, as NewSession takes them; 0: defaults.
	MaxBatch, MaxSeqLen int
}

// Engine is a loaded model.
type Engine struct{}

var errSkeleton = errors.New("engine: not built yet")

// Open loads a checkpoint and takes ownership of it.
func Open(ctx context.Context, ck *weights.Checkpoint, open OpenBackend, opt Options) (*Engine, error) {
	return nil, errSkeleton
}

// OpenSource loads a model without a file and takes ownership of src.
func OpenSource(ctx context.Context, cfg weights.Config, src weights.Source, open OpenBackend, opt Options) (*Engine, error) {
	return nil, errSkeleton
}

// Config is the model's config.
func (e *Engine) Config() weights.Config { return weights.Config{} }

// Tokenizer is the model's, or nil.
func (e *Engine) Tokenizer() *tokenizer.Tokenizer { return nil }

// ChatFormat is the model's, or "".
func (e *Engine) ChatFormat() tokenizer.ChatFormat { return "" }

// ChatTemplate is the checkpoint's jinja text, or "".
func (e *Engine) ChatTemplate() string { return "" }

// StopIDs end a row.
func (e *Engine) StopIDs() []int32 { return nil }

// Parameters counts weights.
func (e *Engine) Parameters() int64 { return 0 }

// WeightBytes is the size of the weights.
func (e *Engine) WeightBytes() int64 { return 0 }

// KVBytes is what all sessions hold now.
func (e *Engine) KVBytes() int64 { return 0 }

// Describe says which unit computes.
func (e *Engine) Describe() string { return "" }

// Close ends it.
func (e *Engine) Close() error { return nil }
