package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"

	"github.com/llama-go/llama-go/engine/sched"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/weights"
)

// Options of an engine.
type Options struct {
	Precision Precision               // "": Fast
	Quantize  Quantize                // of 32- and 16-bit weights at load; "": none
	Estimate  Estimate                // of the backend; nil: weights as they are stored, KV in float32
	Threads   int                     // 0: all cores
	KVBytes   int64                   // limit for the KV of all sessions; 0: from available memory
	Progress  func(done, total int64) // bytes of weights touched or made; may be nil

	// MaxBatch and MaxSeqLen are what the memory check before the load counts
	// with, as NewSession takes them; 0: defaults.
	MaxBatch, MaxSeqLen int
}

// Open loads a checkpoint: it checks that the memory is there, makes the
// tokenizer and opens the backend. It takes ownership of ck and closes it, also
// when it fails. Errors are *RequestError, *MemoryError, *tokenizer.Error,
// *CancelledError and the backend's.
func Open(ctx context.Context, ck *weights.Checkpoint, open OpenBackend, opt Options) (*Engine, error) {
	e := &Engine{cfg: ck.Config, src: ck, template: ck.ChatTemplate, stop: toInt32(ck.EOS)}
	if err := e.load(ctx, ck, open, opt); err != nil {
		ck.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) load(ctx context.Context, ck *weights.Checkpoint, open OpenBackend, opt Options) error {
	if err := opt.Quantize.Check(); err != nil {
		return err
	}
	if err := opt.Quantize.checkTypes(ck.Config, typesOf(ck)); err != nil {
		return err
	}
	e.bytes = sourceBytes(ck)
	need := NeedMemory(ck.Config, typesOf(ck), true, 0, opt)
	if opt.Quantize != NoQuantize {
		e.bytes = need.Weights
	}
	if err := CheckMemory(need); err != nil {
		return err
	}
	tok, err := newTokenizer(ck)
	if err != nil {
		return err
	}
	e.tok = tok
	if tok != nil {
		e.format = tokenizer.DetectChatFormat(ck.ChatTemplate, tok)
	}
	return e.start(ctx, open, opt, need)
}

// OpenSource loads a model without files. It takes ownership of src and closes it,
// also when it fails. A source that makes its tensors when asked, as
// RandomSource's, is filled here, after the memory check.
func OpenSource(ctx context.Context, cfg weights.Config, src weights.Source, open OpenBackend, opt Options) (*Engine, error) {
	e := &Engine{cfg: cfg, src: src, stop: toInt32(cfg.EOS)}
	if err := e.loadSource(ctx, open, opt); err != nil {
		src.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) loadSource(ctx context.Context, open OpenBackend, opt Options) error {
	if err := e.cfg.Validate(); err != nil {
		return err
	}
	if err := opt.Quantize.Check(); err != nil {
		return err
	}
	lazy, isLazy := e.src.(lazySource)
	typeOf, missing := typesOf(e.src), int64(0) // what is not in memory yet
	if isLazy {
		typeOf, missing = lazy.KeptType, lazy.WeightBytes()
	}
	if err := opt.Quantize.checkTypes(e.cfg, typeOf); err != nil {
		return err
	}
	need := NeedMemory(e.cfg, typeOf, false, missing, opt)
	if err := CheckMemory(need); err != nil {
		return err
	}
	if isLazy {
		if err := lazy.Materialize(ctx, opt.Progress); err != nil {
			return loadError(ctx, err)
		}
		opt.Progress = nil // it has been told all bytes
		need.Weights -= missing
	}
	e.bytes = sourceBytes(e.src)
	return e.start(ctx, open, opt, need)
}

// start opens the backend and the loop. need is what the memory was checked for.
func (e *Engine) start(ctx context.Context, open OpenBackend, opt Options, need Memory) error {
	switch opt.Precision {
	case "":
		opt.Precision = Fast
	case Exact, Fast:
	default:
		return requestErrorf(`pass "exact" or "fast"`, "unknown precision %q", opt.Precision)
	}
	if opt.Threads < 0 {
		return requestErrorf("0 takes all cores", "threads must not be negative, got %d", opt.Threads)
	}
	for _, t := range weights.TensorShapes(e.cfg) {
		n := int64(1)
		for _, d := range t.Shape {
			n *= int64(d)
		}
		e.params += n
	}
	kv := opt.KVBytes
	if kv <= 0 {
		kv = defaultKVBytes(need)
	}
	most := min(kv/max(1, need.KVBlock/2), math.MaxInt32) // the estimate may be too large by half
	bopt := BackendOptions{Precision: opt.Precision, Quantize: opt.Quantize, Threads: opt.Threads, MaxBlocks: int(max(1, most))}
	if err := e.openBackend(ctx, open, bopt, opt.Progress); err != nil {
		return err
	}
	if err := weights.Changed(e.src); err != nil { // while the backend read it
		_ = e.backend.Close()
		return err
	}
	e.chunk = maxChunk
	e.fixedKV = opt.KVBytes > 0
	e.maxBlocks = int(max(1, min(most, kv/max(1, e.backend.KVBlockBytes()))))
	e.log = slog.Default().With("room", "engine")
	e.sched = sched.New(e.maxBlocks, BlockSize, queueLimits)
	e.wake = sync.NewCond(&e.mu)
	e.loopDone = make(chan struct{})
	safe.Go("engine loop", e.loop)
	return nil
}

// openBackend opens the backend. A panic while it touches the weights, as a file
// that is truncated meanwhile causes, is an *InternalError.
func (e *Engine) openBackend(ctx context.Context, open OpenBackend, opt BackendOptions, progress func(done, total int64)) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err := safe.Call(func() (err error) {
		e.backend, err = open(ctx, e.cfg, e.src, opt, progress)
		return err
	})
	var p *safe.PanicError
	if errors.As(err, &p) {
		slog.Error("recovered panic in a load", "panic", p.Value, "stack", string(p.Stack))
		return &InternalError{p}
	}
	if err != nil {
		return loadError(ctx, err)
	}
	return nil
}

// defaultKVBytes is four fifths of the memory that the weights leave.
func defaultKVBytes(need Memory) int64 {
	available, known := availableMemory()
	if !known {
		available = need.Weights + need.Workspace + 4<<30
	}
	return max(need.KV, (available-need.Weights-need.Workspace)/5*4)
}

// loadError types the error of a load that was cancelled.
func loadError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &CancelledError{ctx.Err()}
	}
	return err
}

func sourceBytes(src weights.Source) int64 {
	var n int64
	for _, name := range src.Names() {
		if v, ok := src.Tensor(name); ok {
			n += int64(len(v.Data))
		}
	}
	return n
}

func toInt32(ids []int) []int32 {
	out := make([]int32, 0, len(ids))
	for _, id := range ids {
		out = append(out, int32(id))
	}
	return out
}

// newTokenizer makes the checkpoint's tokenizer, nil when it has none, and
// checks that it is the model's.
func newTokenizer(ck *weights.Checkpoint) (*tokenizer.Tokenizer, error) {
	var tok *tokenizer.Tokenizer
	var err error
	switch t := ck.Tokenizer; {
	case t.JSON != nil:
		tok, err = tokenizer.FromJSON(t.JSON)
	case t.Model != nil:
		tok, err = tokenizer.FromModel(t.Model)
	case t.GGUF != nil:
		tok, err = tokenizer.FromGGUF(tokenizer.GGUFVocab(*t.GGUF))
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ck.Tokenizer.Path, err)
	}
	if n := ck.Config.VocabSize; tok.Size() > n {
		return nil, &tokenizer.Error{
			Msg:  fmt.Sprintf("%s has %d tokens, the model's vocabulary has %d", ck.Tokenizer.Path, tok.Size(), n),
			Hint: "pass the tokenizer that was published with these weights (tokenizer_path)",
			Err:  ErrVocabulary,
		}
	}
	return tok, nil
}
