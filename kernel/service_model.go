package kernel

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// Ranges of the params of model.open, model.new and session.open.
const (
	maxThreads   = 4096
	maxPathBytes = 4096
)

// model is a client's handle on weights. load_state_dict exchanges the
// instance behind it; sessions notice at their next use.
type model struct {
	id   string
	cfg  weights.Config
	info rpc.ModelInfo
	text textSide

	mu     sync.Mutex
	inst   *instance // one reference; nil once closed
	shared *sharedModel
}

// instance returns the weights with a reference for the caller.
func (m *model) instance() (*instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inst == nil {
		return nil, requestError("open it again", "the model is closed")
	}
	return m.inst.acquire(), nil
}

// exchange puts other weights behind the handle; the reference to in becomes
// the handle's.
func (m *model) exchange(in *instance) error {
	m.mu.Lock()
	old := m.inst
	if old != nil {
		m.inst, m.shared = in, nil
	}
	m.mu.Unlock()
	if old == nil {
		in.release()
		return requestError("open it again", "the model is closed")
	}
	old.release()
	return nil
}

func (m *model) close() {
	m.mu.Lock()
	in := m.inst
	m.inst, m.shared = nil, nil
	m.mu.Unlock()
	if in != nil {
		in.release()
	}
}

// openModel is model.open.
func (c *client) openModel(ctx context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (rpc.OpenResult, error) {
	if err := checkOpen(&p); err != nil {
		return rpc.OpenResult{}, err
	}
	defer c.svc.touch()
	var tell func(done, total int64)
	if progress != nil {
		limit := newLimiter(progress)
		defer limit.stop()
		tell = func(done, total int64) { limit.offer(rpc.LoadProgress{Bytes: done, Total: total}) }
	}
	sm, resident, err := c.svc.reg.load(ctx, p, tell)
	if err != nil {
		return rpc.OpenResult{}, err
	}
	m := &model{cfg: sm.inst.cfg, info: sm.info, text: sm.text, inst: sm.inst, shared: sm}
	m.info.Resident = resident
	if resident {
		m.info.LoadSeconds = 0
	}
	if err := checkSizes(m.cfg, p.MaxBatchSize, p.MaxSeqLen); err != nil {
		m.close()
		return rpc.OpenResult{}, err
	}
	if p.NeedTokenizer && m.text.tok == nil {
		m.close()
		return rpc.OpenResult{}, kindError(rpc.KindMissingFile, "pass tokenizer_path", "no tokenizer found in %s or one level up", p.Path)
	}
	m.id, err = put(c, func() map[string]*model { return c.models }, "m", "models", maxModels, m)
	if err != nil {
		m.close()
		return rpc.OpenResult{}, err
	}
	return rpc.OpenResult{Model: m.id, Config: m.cfg, Info: m.info}, nil
}

func checkOpen(p *rpc.OpenParams) error {
	if p.Path == "" || len(p.Path) > maxPathBytes || !filepath.IsAbs(p.Path) {
		return requestError("pass an absolute path", "path is %.200q, expected an absolute path of a folder or checkpoint file", p.Path)
	}
	if p.TokenizerPath != "" && (len(p.TokenizerPath) > maxPathBytes || !filepath.IsAbs(p.TokenizerPath)) {
		return requestError("pass an absolute path", "tokenizer_path is %.200q, expected an absolute path", p.TokenizerPath)
	}
	p.Path = filepath.Clean(p.Path)
	if p.TokenizerPath != "" {
		p.TokenizerPath = filepath.Clean(p.TokenizerPath)
		if _, err := os.Stat(p.TokenizerPath); err != nil {
			return kindError(rpc.KindMissingFile, "", "Tokenizer file '%s' does not exist.", p.TokenizerPath)
		}
	}
	if p.DType == "" {
		p.DType = "auto"
	}
	switch p.DType {
	case "auto", "float32", "float16", "bfloat16":
	default:
		return requestError("", `dtype is %.40q, expected "auto", "float32", "float16" or "bfloat16"`, p.DType)
	}
	if err := engine.Quantize(p.Quantize).Check(); err != nil {
		return err
	}
	if err := checkPrecision(&p.Precision); err != nil {
		return err
	}
	if p.MaxSeqLen < 0 {
		return requestError("", "max_seq_len is %d, expected a positive number, or 0 for the default", p.MaxSeqLen)
	}
	return checkThreads(p.Threads)
}

func checkPrecision(p *string) error {
	switch engine.Precision(*p) {
	case engine.Exact, engine.Fast:
		return nil
	case "":
		*p = string(engine.Fast)
		return nil
	}
	return requestError("", `precision is %.40q, expected "exact" or "fast"`, *p)
}

func checkThreads(n int) error {
	if n < 0 || n > maxThreads {
		return requestError("", "threads is %d, expected 1 to %d, or 0 for all cores", n, maxThreads)
	}
	return nil
}

// checkSizes refuses limits of a session that the model cannot have; 0 is the
// default.
func checkSizes(cfg weights.Config, maxBatch, maxSeq int) error {
	if maxBatch < 0 || maxBatch > engine.MaxBatch {
		return requestError("", "max_batch_size must be between 1 and %d, got %d.", engine.MaxBatch, maxBatch)
	}
	if maxSeq < 0 || maxSeq > cfg.MaxPositionEmbeddings {
		return requestError("", "max_seq_len must be between 1 and %d, got %d.", cfg.MaxPositionEmbeddings, maxSeq)
	}
	return nil
}

// plainTypes are the element types that a parameter may be stored in.
var plainTypes = map[string]weights.DType{"float32": weights.F32, "float16": weights.F16, "bfloat16": weights.BF16}

// plainName is the wire's name of a stored type: numpy's for plain ones, GGUF's
// for block types.
func plainName(d weights.DType) string {
	for name, t := range plainTypes {
		if t == d {
			return name
		}
	}
	return d.String()
}

// newModel is model.new.
func (c *client) newModel(p rpc.NewParams) (rpc.NewResult, error) {
	if err := checkPrecision(&p.Precision); err != nil {
		return rpc.NewResult{}, err
	}
	if err := engine.Quantize(p.Quantize).Check(); err != nil {
		return rpc.NewResult{}, err
	}
	if err := checkThreads(p.Threads); err != nil {
		return rpc.NewResult{}, err
	}
	if p.DType == "" {
		p.DType = "float16"
	}
	dtype, ok := plainTypes[p.DType]
	if !ok {
		return rpc.NewResult{}, requestError("", `dtype is %.40q, expected "float32", "float16" or "bfloat16"`, p.DType)
	}
	cfg := p.Config
	if cfg.Architecture == "" {
		cfg.Architecture = "llama"
	}
	if err := cfg.Validate(); err != nil {
		return rpc.NewResult{}, err
	}
	cfg.DType = p.DType
	if err := checkSizes(cfg, p.MaxBatchSize, p.MaxSeqLen); err != nil {
		return rpc.NewResult{}, err
	}
	params, ok := parameters(cfg).Int64()
	size, fits := checked.Of(params).Mul(checked.Of(int64(dtype.BlockBytes()))).Int64()
	if !ok || !fits {
		return rpc.NewResult{}, kindError(rpc.KindConfig, "", "the config has more parameters than 63 bits count")
	}
	if estimate := c.svc.reg.estimate; p.Quantize != "" && estimate != nil {
		f := estimate(cfg, func(string) weights.DType { return dtype },
			engine.BackendOptions{Precision: engine.Precision(p.Precision), Quantize: engine.Quantize(p.Quantize)})
		size = f.Copied + f.InPlace
	}
	threads := p.Threads
	if threads == 0 {
		threads = c.svc.reg.threads
	}
	base := weights.Source(engine.RandomSource(cfg, dtype, p.Seed))
	m := &model{cfg: cfg, inst: &instance{
		reg: c.svc.reg, cfg: cfg, src: newOverlay(cfg, base, dtype, nil), private: true,
		precision: engine.Precision(p.Precision), quantize: engine.Quantize(p.Quantize), threads: threads, maxBatch: p.MaxBatchSize, maxSeqLen: p.MaxSeqLen,
		opening: make(chan struct{}, 1), refs: 1,
	}}
	m.text.stopIDs = stopIDs(cfg)
	m.info = rpc.ModelInfo{
		Name: "Transformer", Format: "memory", DType: p.DType, Quantize: p.Quantize, Precision: p.Precision,
		Parameters: params, Bytes: size, MaxSeqLen: cfg.MaxPositionEmbeddings,
	}
	id, err := put(c, func() map[string]*model { return c.models }, "m", "models", maxModels, m)
	if err != nil {
		m.close()
		return rpc.NewResult{}, err
	}
	m.id = id
	c.svc.touch()
	return rpc.NewResult{Model: id, Info: m.info}, nil
}

// stopIDs are a config's eos ids.
func stopIDs(cfg weights.Config) []int32 {
	var ids []int32
	for _, id := range cfg.EOS {
		if id >= 0 && id <= math.MaxInt32 {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// parameters counts a config's weights.
func parameters(cfg weights.Config) checked.Size {
	n := checked.Of(0)
	for _, t := range weights.TensorShapes(cfg) {
		n = n.Add(shapeSize(t.Shape))
	}
	return n
}

// closeModel is model.close: the handle's sessions and uploads go with it.
func (c *client) closeModel(p rpc.ModelRef) error {
	m, err := c.model(p.Model)
	if err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.models, p.Model)
	var sessions []*session
	for id, s := range c.sessions {
		if s.model == m {
			sessions = append(sessions, s)
			delete(c.sessions, id)
		}
	}
	for id, u := range c.uploads {
		if u.model == m {
			delete(c.uploads, id)
			u.mu.Lock()
			giveBack(u.end())
			u.mu.Unlock()
		}
	}
	c.mu.Unlock()
	for _, s := range sessions {
		s.close()
	}
	m.close()
	c.svc.touch()
	return nil
}
