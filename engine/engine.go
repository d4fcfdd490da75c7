package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"

	"github.com/llama-go/llama-go/engine/sched"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/weights"
)

// Options of an engine.
type Options struct {
	Precision Precision               // "": Fast
	Threads   int                     // 0: all cores
	KVBytes   int64                   // limit for the KV of all sessions; 0: from available memory
	Progress  func(done, total int64) // bytes of weights touched or made; may be nil

	// MaxBatch and MaxSeqLen are what the memory check before the load counts
	// with, as NewSession takes them; 0: defaults.
	MaxBatch, MaxSeqLen int
}

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

	mu      sync.Mutex // guards all below, the rows' Seqs, and Session.closed and job
	wake    *sync.Cond // something was submitted, or closing was set
	sched   *sched.Scheduler
	closing bool

	loopDone  chan struct{}
	closeOnce sync.Once
	closeErr  error
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
	e.bytes = sourceBytes(ck)
	need := NeedMemory(ck.Config, e.bytes, true, opt.Precision, opt.MaxBatch, opt.MaxSeqLen)
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
	lazy, isLazy := e.src.(lazySource)
	var missing int64 // what is not in memory yet
	if isLazy {
		missing = lazy.WeightBytes()
		e.bytes = missing
	} else {
		e.bytes = sourceBytes(e.src)
	}
	need := NeedMemory(e.cfg, missing, false, opt.Precision, opt.MaxBatch, opt.MaxSeqLen)
	if err := CheckMemory(need); err != nil {
		return err
	}
	if isLazy {
		if err := lazy.Materialize(ctx, opt.Progress); err != nil {
			return loadError(ctx, err)
		}
		opt.Progress = nil // it has been told all bytes
		need.Weights = 0
	}
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
	most := min(kv/(BlockSize*max(1, need.PerToken/2)), math.MaxInt32) // fast mode may halve a block
	backend, err := open(ctx, e.cfg, e.src,
		BackendOptions{Precision: opt.Precision, Threads: opt.Threads, MaxBlocks: int(max(1, most))}, opt.Progress)
	if err != nil {
		return loadError(ctx, err)
	}
	e.backend = backend
	e.chunk = maxChunk
	e.log = slog.Default().With("room", "engine")
	e.sched = sched.New(int(max(1, min(most, kv/max(1, backend.KVBlockBytes())))), BlockSize, queueLimits)
	e.wake = sync.NewCond(&e.mu)
	e.loopDone = make(chan struct{})
	safe.Go("engine loop", e.loop)
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
