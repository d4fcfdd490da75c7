package kernel

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// registry holds the models that were opened from files: one instance for all
// clients that open the same files with the same options. An instance stays
// when its last client goes, until memory is needed or the process ends.
type registry struct {
	open     engine.OpenBackend
	estimate engine.Estimate // may be nil
	threads  int
	log      *slog.Logger

	mu      sync.Mutex
	shared  map[string]*sharedModel
	loading map[string]*loading
}

// sharedModel is a loaded model and what is known of it.
type sharedModel struct {
	key  string
	inst *instance
	text textSide
	info rpc.ModelInfo
}

// loading is a load under way. It ends early when nobody waits any more.
type loading struct {
	cancel  context.CancelFunc
	done    chan struct{}
	model   *sharedModel
	err     error
	waiters int // guarded by registry.mu; each gets a reference on success

	mu        sync.Mutex
	listeners map[*func(done, total int64)]struct{}
}

func newRegistry(open engine.OpenBackend, estimate engine.Estimate, threads int, log *slog.Logger) *registry {
	return &registry{open: open, estimate: estimate, threads: threads, log: log, shared: map[string]*sharedModel{}, loading: map[string]*loading{}}
}

// load returns the model of p with one reference for the caller, and whether it
// was there already. Two that load the same at once share one load.
func (r *registry) load(ctx context.Context, p rpc.OpenParams, progress func(done, total int64)) (m *sharedModel, resident bool, err error) {
	id, err := weights.Identity(p.Path, weights.Options{TokenizerPath: p.TokenizerPath})
	if err != nil {
		return nil, false, err
	}
	key := strings.Join([]string{id, p.DType, p.Quantize, p.Precision, p.TokenizerPath}, "\x00")
	r.mu.Lock()
	if m := r.shared[key]; m != nil {
		m.inst.refs++
		r.mu.Unlock()
		return m, true, nil
	}
	l := r.loading[key]
	if l == nil {
		lctx, cancel := context.WithCancel(context.Background())
		l = &loading{cancel: cancel, done: make(chan struct{}), listeners: map[*func(int64, int64)]struct{}{}}
		r.loading[key] = l
		safe.Go("load", func() { r.runLoad(lctx, key, l, p) })
	}
	l.waiters++
	r.mu.Unlock()
	if progress != nil {
		l.listen(&progress)
		defer l.unlisten(&progress)
	}
	select {
	case <-l.done:
		return l.model, false, l.err
	case <-ctx.Done():
		r.leave(key, l)
		return nil, false, ctx.Err()
	}
}

// leave gives up waiting; the last one to leave ends the load.
func (r *registry) leave(key string, l *loading) {
	r.mu.Lock()
	select {
	case <-l.done: // it ended meanwhile, and its reference is ours
		r.mu.Unlock()
		if l.model != nil {
			l.model.inst.release()
		}
		return
	default:
	}
	l.waiters--
	if l.waiters == 0 {
		l.cancel()
		if r.loading[key] == l {
			delete(r.loading, key) // the next one begins anew
		}
	}
	r.mu.Unlock()
}

func (l *loading) listen(f *func(done, total int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners[f] = struct{}{}
}

func (l *loading) unlisten(f *func(done, total int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.listeners, f)
}

// tell passes progress on to all who wait.
func (l *loading) tell(done, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.listeners {
		(*f)(done, total)
	}
}

func (r *registry) runLoad(ctx context.Context, key string, l *loading, p rpc.OpenParams) {
	defer l.cancel()
	err := safe.Call(func() (err error) {
		l.model, err = r.loadFiles(ctx, key, p, l.tell)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loading[key] == l {
		delete(r.loading, key)
	}
	l.err = err
	if err != nil {
		l.model = nil
		r.log.Info("load failed", "path", p.Path, "err", err)
	} else {
		l.model.inst.refs = l.waiters
		l.model.inst.kept = true
		if other := r.shared[key]; other != nil {
			// A load that everybody left finished after all, beside a new one.
			other.inst.kept = false
			if other.inst.refs == 0 {
				safe.Go("close", other.inst.close)
			}
		}
		r.shared[key] = l.model
		r.log.Info("loaded", "path", p.Path, "bytes", l.model.info.Bytes, "seconds", l.model.info.LoadSeconds)
	}
	close(l.done)
}

// loadFiles opens and checks the files and makes the engine.
func (r *registry) loadFiles(ctx context.Context, key string, p rpc.OpenParams, progress func(done, total int64)) (*sharedModel, error) {
	start := time.Now()
	forward := monotone(progress)
	threads := p.Threads
	if threads == 0 {
		threads = r.threads
	}
	var ck *weights.Checkpoint
	eng, err := retryEvicting(r, func() (*engine.Engine, error) {
		// Only mapped here: the engine checks the memory before it reads the weights.
		var err error
		ck, err = weights.Open(ctx, p.Path, weights.Options{TokenizerPath: p.TokenizerPath})
		if err != nil {
			return nil, err
		}
		if err := checkDType(p.DType, ck.Config.DType); err != nil {
			_ = ck.Close() // nothing was used yet
			return nil, err
		}
		return engine.Open(ctx, ck, r.open, engine.Options{
			Precision: engine.Precision(p.Precision), Quantize: engine.Quantize(p.Quantize), Threads: threads, Progress: forward,
			Estimate: r.estimate, MaxBatch: p.MaxBatchSize, MaxSeqLen: p.MaxSeqLen,
		})
	})
	if err != nil {
		return nil, err
	}
	cfg := eng.Config()
	m := &sharedModel{
		key: key,
		inst: &instance{
			reg: r, cfg: cfg, src: keepOpen{ck}, precision: engine.Precision(p.Precision), quantize: engine.Quantize(p.Quantize), threads: threads,
			opening: make(chan struct{}, 1), eng: eng, lastUsed: time.Now(),
		},
		text: textOf(eng),
		info: rpc.ModelInfo{
			Name: shortName(ck.Path), Path: ck.Path, Format: ck.Format, DType: cfg.DType, Quantize: p.Quantize, Precision: p.Precision,
			Parameters: eng.Parameters(), Bytes: eng.WeightBytes(), LoadSeconds: time.Since(start).Seconds(),
			MaxSeqLen: cfg.MaxPositionEmbeddings, Backend: eng.Describe(),
		},
	}
	m.info.Tokenizer = m.text.info()
	m.info.Sampling = rpc.Sampling(ck.Sampling)
	return m, nil
}

// monotone passes on only progress that goes forward: a load that is tried again
// after an eviction tells it anew.
func monotone(f func(done, total int64)) func(done, total int64) {
	var mu sync.Mutex
	last := int64(-1)
	return func(done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if done > last {
			last = done
			f(done, total)
		}
	}
}

// evictOne makes room: it closes the unreferenced shared model that was used longest ago; it
// reports whether there was one.
func (r *registry) evictOne() bool {
	m := r.takeUnused()
	if m == nil {
		return false
	}
	r.log.Info("evicting a model for memory", "path", m.info.Path)
	m.inst.close()
	return true
}

// takeUnused takes the unreferenced shared model that was used longest ago out
// of the registry, or nil.
func (r *registry) takeUnused() *sharedModel {
	r.mu.Lock()
	defer r.mu.Unlock()
	var oldest *sharedModel
	for _, m := range r.shared {
		if m.inst.refs == 0 && (oldest == nil || m.inst.lastUsed.Before(oldest.inst.lastUsed)) {
			oldest = m
		}
	}
	if oldest != nil {
		delete(r.shared, oldest.key)
		oldest.inst.kept = false
	}
	return oldest
}

// models lists the shared models.
func (r *registry) models() []*sharedModel {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*sharedModel, 0, len(r.shared))
	for _, m := range r.shared {
		all = append(all, m)
	}
	return all
}

// close ends all loads and frees the models that nobody holds.
func (r *registry) close() {
	r.mu.Lock()
	pending := make([]*loading, 0, len(r.loading))
	for _, l := range r.loading {
		l.cancel()
		pending = append(pending, l)
	}
	r.mu.Unlock()
	for _, l := range pending {
		<-l.done
	}
	for m := r.takeUnused(); m != nil; m = r.takeUnused() {
		m.inst.close()
	}
}

// checkDType refuses types that would need a conversion at load.
func checkDType(want, have string) error {
	if want == "auto" || want == have {
		return nil
	}
	return requestError(`pass dtype="auto"`, "dtype is %q, the file holds %s: converting at load is not supported", want, have)
}

// shortName is how people call the model of a path: "org/name" in a Hugging
// Face cache, else the file's or folder's name.
func shortName(path string) string {
	for dir := path; ; dir = filepath.Dir(dir) {
		base := filepath.Base(dir)
		if repo, ok := strings.CutPrefix(base, "models--"); ok {
			return strings.ReplaceAll(repo, "--", "/")
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	base := filepath.Base(path)
	switch ext := filepath.Ext(base); ext {
	case ".gguf", ".safetensors":
		return strings.TrimSuffix(base, ext)
	}
	return base
}
