package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// benchModel is a model that can be opened again and again.
type benchModel struct {
	name string
	path string // "" of random weights
	typ  benchType
	cfg  weights.Config
	// bytes are read for a token, and products multiplied: those of all matrices
	// but an embedding that is only looked up; head are the last matrix's alone.
	bytes, products, head int64
}

// storedBytes are those of a matrix as the engine holds it.
func (t benchType) storedBytes(rows, cols int) int64 {
	return int64(rows) * int64(t.simdType().RowBytes(cols))
}

// benchModels are those that the flags name.
func (b *bench) benchModels(ctx context.Context) ([]*benchModel, error) {
	if b.flags.shape == "" {
		return b.fileModels(ctx)
	}
	cfg := shapeConfig(b.flags.shape)
	types := b.types
	if len(types) == 0 {
		types, _ = parseTypes("bf16")
	}
	var all []*benchModel
	for _, t := range types {
		if err := t.fits(cfg); err != nil {
			if len(types) == 1 {
				return nil, err
			}
			b.report.note("left out: %v", err)
			continue
		}
		if !engine.RandomType(t.dtype) {
			b.report.note("left out: %s has no random weights", t.name)
			continue
		}
		m := &benchModel{name: b.flags.shape, typ: t, cfg: cfg}
		m.count(func(s weights.TensorShape) int64 { return t.storedBytes(s.Shape[0], s.Shape[1]) })
		all = append(all, m)
	}
	return all, nil
}

// fileModels is the model of --model, as it is and quantized as --type says.
func (b *bench) fileModels(ctx context.Context) ([]*benchModel, error) {
	name := b.flags.model
	if name == "" {
		name = "smollm2"
	}
	path, err := resolveOrPull(ctx, b.env, name)
	if err != nil {
		return nil, err
	}
	ck, err := weights.Open(ctx, path, weights.Options{})
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	m := benchModel{name: strings.TrimSuffix(filepath.Base(path), ".gguf"), path: path, cfg: ck.Config}
	d := mainType(ck.Config.DType)
	m.typ = benchType{name: strings.ToLower(d.String()), dtype: d}
	m.count(func(s weights.TensorShape) int64 {
		v, _ := ck.Tensor(s.Name)
		return int64(len(v.Data))
	})
	if len(b.types) == 0 {
		return []*benchModel{&m}, nil
	}
	var all []*benchModel
	for _, t := range b.types {
		switch {
		case t.quantize != engine.NoQuantize:
			q := m
			q.typ = t
			q.bytes, q.products = 0, 0
			q.count(func(s weights.TensorShape) int64 { return t.storedBytes(s.Shape[0], s.Shape[1]) })
			all = append(all, &q)
		case t.dtype == m.typ.dtype:
			all = append(all, &m)
		default:
			b.report.note("left out: %s is %s; a file's type changes by int8 and int4 alone", m.name, m.typ.name)
		}
	}
	return all, nil
}

// mainType is the type that a Config's DType names.
func mainType(name string) weights.DType {
	switch name {
	case "float32":
		return weights.F32
	case "float16":
		return weights.F16
	case "bfloat16":
		return weights.BF16
	}
	for _, t := range knownTypes() {
		if t.quantize == engine.NoQuantize && strings.EqualFold(t.name, name) {
			return t.dtype
		}
	}
	return weights.F32
}

// count sums up what a token reads and multiplies.
func (m *benchModel) count(stored func(weights.TensorShape) int64) {
	for _, s := range weights.TensorShapes(m.cfg) {
		if len(s.Shape) != 2 || s.Name == "model.embed_tokens.weight" && !m.cfg.TieWordEmbeddings {
			continue
		}
		n := int64(s.Shape[0]) * int64(s.Shape[1])
		m.bytes += stored(s)
		m.products += n
		if s.Name == "lm_head.weight" || s.Name == "model.embed_tokens.weight" {
			m.head = n
		}
	}
}

// kvBytes is what attention reads of one position's keys and values.
func (m *benchModel) kvBytes(mode engine.Precision) int64 {
	n := 2 * int64(m.cfg.NumHiddenLayers) * int64(m.cfg.NumKeyValueHeads) * int64(m.cfg.HeadDim)
	if simd.NewPlan(mode == engine.Fast).HalfKV() {
		return 2 * n
	}
	return 4 * n
}

// open loads the model.
func (m *benchModel) open(ctx context.Context, opt engine.Options) (*engine.Engine, error) {
	opt.Quantize, opt.Estimate = m.typ.quantize, cpu.Estimate
	if m.path == "" {
		return engine.OpenSource(ctx, m.cfg, engine.RandomSource(m.cfg, m.typ.dtype, 1), cpu.Open, opt)
	}
	ck, err := weights.Open(ctx, m.path, weights.Options{})
	if err != nil {
		return nil, err
	}
	return engine.Open(ctx, ck, cpu.Open, opt)
}

// benchCase is one line of the report in the making: something that is measured
// once a round.
type benchCase struct {
	row benchRow
	// measure runs once, for about the time of a sample, and returns steps a second.
	measure func(ctx context.Context, round int) (float64, error)
	bytes   float64 // read in a step
	ops     float64 // done in a step

	rates, gbs, reads, gops, limits []float64
}

// limits are what a pool of threads can do now.
type limits struct {
	pool  *simd.Pool
	mem   *simd.Memory
	peaks map[string]simd.Limit
}

// How long a limit is measured, and how much memory is read: far more than the
// caches hold, but no more than a step of a small model.
const (
	limitTime  = 20 * time.Millisecond
	limitBytes = 512 << 20
)

// newLimits starts a pool; bytes is what a step reads.
func newLimits(threads int, bytes int64) (*limits, error) {
	mem, err := simd.NewMemory(int(min(max(bytes, 1<<20), limitBytes)))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(mem.Bytes); i += 64 { // untouched pages would all be one
		mem.Bytes[i] = byte(i >> 6)
	}
	l := &limits{pool: simd.NewPool(threads), mem: mem, peaks: map[string]simd.Limit{}}
	for _, p := range simd.Limits() {
		l.peaks[p.Name] = p
	}
	return l, nil
}

func (l *limits) close() {
	l.pool.Close()
	l.mem.Free()
}

// read is the read rate now.
func (l *limits) read() float64 { return simd.ReadRate(l.pool, l.mem.Bytes, limitTime) }

// peak is the rate of a unit now, 0 if none is known.
func (l *limits) peak(name string) float64 {
	p, ok := l.peaks[name]
	if !ok {
		return 0
	}
	return p.Measure(l.pool, limitTime)
}

// rounds measures all cases in turns, the limits before and after each.
func (b *bench) rounds(ctx context.Context, l *limits, cases []*benchCase) error {
	for round := -1; round < b.flags.rounds; round++ { // the first one warms up
		for _, c := range cases {
			b.say("%s %s %s, %d threads: %s, round %d of %d", c.row.Model, c.row.Type, c.row.Mode, c.row.Threads, c.row.What, round+1, b.flags.rounds)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var read, peak float64
			look := func() {
				if c.bytes > 0 {
					read += l.read() / 2
				}
				if c.ops > 0 {
					peak += l.peak(c.row.Limit) / 2
				}
			}
			if round >= 0 {
				look()
			}
			rate, err := c.measure(ctx, round)
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if round < 0 {
				continue
			}
			look()
			c.rates = append(c.rates, rate)
			if c.bytes > 0 {
				c.gbs = append(c.gbs, rate*c.bytes/1e9)
				c.reads = append(c.reads, rate*c.bytes/read)
			}
			if c.ops > 0 {
				c.gops = append(c.gops, rate*c.ops/1e9)
				if peak > 0 {
					c.limits = append(c.limits, rate*c.ops/peak)
				}
			}
		}
	}
	return nil
}

// add puts a case into the report. scale turns steps into what the unit counts.
func (b *bench) add(c *benchCase, scale float64) {
	for i := range c.rates {
		c.rates[i] *= scale
	}
	r := c.row
	r.Rate, r.BytesPerStep = *newSpread(c.rates), int64(c.bytes)
	r.Bytes, r.ReadShare = newSpread(c.gbs), newSpread(c.reads)
	r.Ops, r.LimitShare = newSpread(c.gops), newSpread(c.limits)
	b.report.Rows = append(b.report.Rows, r)
}

// models measures the parts that run an engine.
func (b *bench) models(ctx context.Context) error {
	all, err := b.benchModels(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		for _, mode := range b.modes {
			for _, threads := range b.threads {
				err := b.model(ctx, m, mode, threads)
				var refused *engine.RequestError
				if len(all) > 1 && errors.As(err, &refused) {
					b.report.note("left out: %s %s: %v", m.name, m.typ.name, err)
					continue
				}
				if err != nil {
					return fmt.Errorf("%s %s %s: %w", m.name, m.typ.name, mode, err)
				}
			}
		}
	}
	return nil
}

// model measures one engine.
func (b *bench) model(ctx context.Context, m *benchModel, mode engine.Precision, threads int) error {
	b.say("%s %s %s, %d threads: loading", m.name, m.typ.name, mode, threads)
	e, err := m.open(ctx, engine.Options{Precision: mode, Threads: threads})
	if err != nil {
		return err
	}
	defer e.Close()
	l, err := newLimits(threads, m.bytes)
	if err != nil {
		return err
	}
	defer l.close()
	r := &runner{b: b, m: m, e: e, mode: mode}
	defer r.close()
	r.row = benchRow{Model: m.name, Type: m.typ.name, Mode: string(mode), Threads: threads, Unit: "tok/s",
		Limit: simd.NewPlan(mode == engine.Fast).Limit(m.typ.simdType())}
	if b.has("decode") {
		r.streams("decode", "decode", 1, 0)
	}
	if b.has("prefill") {
		r.prefill()
	}
	if b.has("depth") {
		for _, depth := range []int{0, 1024, 4096} {
			r.streams("depth", fmt.Sprintf("decode at %d", depth), 1, depth)
		}
	}
	if b.has("batch") {
		for _, n := range []int{1, 4, 16} {
			r.streams("batch", plural(n, "stream"), n, 0)
		}
	}
	if b.has("busy") {
		r.busy()
	}
	if err := b.rounds(ctx, l, r.cases); err != nil {
		return err
	}
	for i, c := range r.cases {
		b.add(c, r.scales[i])
	}
	return nil
}

// runner makes the cases of one engine.
type runner struct {
	b        *bench
	m        *benchModel
	e        *engine.Engine
	mode     engine.Precision
	row      benchRow
	cases    []*benchCase
	scales   []float64
	sessions []*engine.Session
}

func (r *runner) close() {
	for _, s := range r.sessions {
		s.Close()
	}
}

// session opens one of its own for a case, so that its KV stays.
func (r *runner) session(rows, positions int) (*engine.Session, bool) {
	if limit := r.m.cfg.MaxPositionEmbeddings; positions > limit {
		r.b.report.note("left out: %d positions, %s has %d", positions, r.m.name, limit)
		return nil, false
	}
	s, err := r.e.NewSession(rows, min(r.m.cfg.MaxPositionEmbeddings, positions+maxSampleTokens+1))
	if err != nil {
		r.b.report.note("left out: %v", err)
		return nil, false
	}
	r.sessions = append(r.sessions, s)
	return s, true
}

func (r *runner) add(c *benchCase, scale float64) {
	r.cases = append(r.cases, c)
	r.scales = append(r.scales, scale)
}

// ids are n random ids that begin with one of their own.
func (r *runner) ids(n int, seed uint64) []int32 {
	ids := make([]int32, n)
	rnd := rand.New(rand.NewPCG(seed, 11))
	for i := range ids {
		ids[i] = rnd.Int32N(int32(r.m.cfg.VocabSize))
	}
	ids[0] = int32(seed) % int32(r.m.cfg.VocabSize)
	return ids
}

const (
	shortPrompt     = 8
	maxSampleTokens = 512 // of one decode measurement
)

// streams decodes n rows together behind depth positions. A step is one token
// of each.
func (r *runner) streams(part, what string, n, depth int) {
	depth = max(depth, shortPrompt)
	decode, ok := r.decoder(n, depth)
	if !ok {
		return
	}
	c := &benchCase{
		row:   r.row,
		bytes: float64(r.m.bytes) + float64(n*depth)*float64(r.m.kvBytes(r.mode)),
		ops:   2 * float64(n) * float64(r.m.products),
		measure: func(ctx context.Context, _ int) (float64, error) {
			t, err := decode(ctx, r.b.flags.sample)
			return float64(t.DecodeSteps) / t.DecodeSeconds / float64(n), err
		},
	}
	c.row.Part, c.row.What = part, what
	r.add(c, float64(n))
}

// decoder decodes n rows behind depth positions for about the time of a sample,
// but for the first call, which computes the positions. ok is false where the
// model has fewer.
func (r *runner) decoder(n, depth int) (decode func(context.Context, time.Duration) (engine.Timings, error), ok bool) {
	s, ok := r.session(n, depth)
	if !ok {
		return nil, false
	}
	prompts := make([][]int32, n)
	for i := range prompts {
		prompts[i] = r.ids(depth, uint64(i))
	}
	rate := 0.0 // steps a second
	return func(ctx context.Context, sample time.Duration) (engine.Timings, error) {
		t, err := generate1(ctx, s, prompts, min(max(int(rate*sample.Seconds()), 2), maxSampleTokens))
		rate = float64(t.DecodeSteps) / t.DecodeSeconds / float64(n)
		return t, err
	}, true
}

// generate1 decodes greedily and returns the engine's own times.
func generate1(ctx context.Context, s *engine.Session, prompts [][]int32, tokens int) (engine.Timings, error) {
	res, err := s.Generate(ctx, engine.GenerateRequest{Rows: prompts, MaxGenLen: tokens + 1}, nil, nil)
	return res.Timings, err
}

// prefill computes a new prompt each time. A step is the whole prompt.
func (r *runner) prefill() {
	n := r.b.flags.prompt
	s, ok := r.session(1, n)
	if !ok {
		return
	}
	c := &benchCase{
		row: r.row,
		ops: 2 * (float64(n)*float64(r.m.products-r.m.head) + float64(r.m.head)),
		measure: func(ctx context.Context, round int) (float64, error) {
			t, err := generate1(ctx, s, [][]int32{r.ids(n, uint64(round+2))}, 0)
			return float64(t.PromptTokens) / float64(n) / t.PrefillSeconds, err
		},
	}
	c.row.Part, c.row.What = "prefill", fmt.Sprintf("prefill %d", n)
	r.add(c, float64(n))
}

// simdType is the kernels' type.
func (t benchType) simdType() simd.Type {
	switch t.quantize {
	case engine.Int8:
		return simd.I8
	case engine.Int4:
		return simd.I4
	}
	return simdType(t.dtype.String())
}

// simdType is the kernels' type of a name that files have.
func simdType(name string) simd.Type {
	for _, s := range simd.Types() {
		if s.String() == name {
			return s
		}
	}
	panic("bench: no kernels of " + name)
}
