package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llama-go/llama-go/weights"
)

// fakeVocab is the vocabulary of fakeBackend.
const fakeVocab = 50

func fakeConfig(positions int) weights.Config {
	return weights.Config{
		HiddenSize: 8, IntermediateSize: 8, NumHiddenLayers: 1, NumAttentionHeads: 1, NumKeyValueHeads: 1,
		HeadDim: 8, VocabSize: fakeVocab, MaxPositionEmbeddings: positions, RMSNormEps: 1e-5, RopeTheta: 1e4,
		BOS: -1,
	}
}

// fakeBackend stands for a model in tests of the bookkeeping. Its KV of a
// position is the id that was written there; its logits at a position are a
// function of all the ids that the block table leads to. A wrong table, a
// stale position or another row's block therefore changes what comes out.
type fakeBackend struct {
	maxBlocks int
	kv        map[int32]*[BlockSize]cell
	logits    [][]float32

	mu     sync.Mutex
	log    []string                                  // a line for each step
	before func(ctx context.Context, b *Batch) error // runs in each Step; may be nil
	closed atomic.Bool
}

// cell is the KV of one position.
type cell struct {
	id, pos int32
	set     bool
}

// garbage is what a row's cells hold after a step was abandoned.
var garbage = cell{id: -7, pos: -7}

func (f *fakeBackend) Step(ctx context.Context, b *Batch) (*Result, error) {
	f.mu.Lock()
	line := ""
	for _, r := range b.Rows {
		line += fmt.Sprintf("%d+%d/%d ", r.Start, len(r.Tokens), r.LastN)
	}
	f.log = append(f.log, line)
	before := f.before
	f.mu.Unlock()

	owner := map[int32]int{}
	for i, r := range b.Rows {
		if len(r.Tokens) == 0 || r.LastN > len(r.Tokens) {
			return nil, fmt.Errorf("row %d: %d tokens, %d wanted", i, len(r.Tokens), r.LastN)
		}
		if need := (r.Start + len(r.Tokens) + BlockSize - 1) / BlockSize; len(r.Blocks) < need {
			return nil, fmt.Errorf("row %d: %d blocks for %d positions", i, len(r.Blocks), r.Start+len(r.Tokens))
		}
		for _, id := range r.Blocks {
			if j, shared := owner[id]; shared || id < 0 || int(id) >= f.maxBlocks {
				return nil, fmt.Errorf("row %d: block %d is row %d's too, or not below %d", i, id, j, f.maxBlocks)
			}
			owner[id] = i
			if f.kv[id] == nil {
				f.kv[id] = new([BlockSize]cell)
			}
		}
		for k := range r.Tokens {
			*f.at(&r, r.Start+k) = garbage
		}
	}
	if before != nil {
		if err := before(ctx, b); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	res := &Result{}
	for i, r := range b.Rows {
		for k, id := range r.Tokens {
			*f.at(&r, r.Start+k) = cell{id, int32(r.Start + k), true}
		}
		out := make([]float32, 0, r.LastN*fakeVocab)
		for pos := r.Start + len(r.Tokens) - r.LastN; pos < r.Start+len(r.Tokens); pos++ {
			ids := make([]int32, pos+1)
			for p := range ids {
				c := f.at(&r, p)
				if !c.set || int(c.pos) != p {
					return nil, fmt.Errorf("row %d reads position %d and finds %+v", i, p, *c)
				}
				ids[p] = c.id
			}
			out = append(out, fakeLogits(ids)...)
		}
		res.Logits = append(res.Logits, out)
	}
	for _, old := range f.logits { // results die with the next step
		for i := range old {
			old[i] = -1e30
		}
	}
	f.logits = res.Logits
	return res, nil
}

func (f *fakeBackend) at(r *Row, pos int) *cell {
	return &f.kv[r.Blocks[pos/BlockSize]][pos%BlockSize]
}

// KVBlockBytes is half of what plainEstimate says, as fast mode has it.
func (f *fakeBackend) KVBlockBytes() int64 {
	return plainEstimate(fakeConfig(1), func(string) weights.DType { return 0 }, BackendOptions{}).KVBlock / 2
}
func (f *fakeBackend) Describe() string { return "fake" }
func (f *fakeBackend) Close() error     { f.closed.Store(true); return nil }

// steps returns the lines of all steps so far.
func (f *fakeBackend) steps() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

func (f *fakeBackend) setBefore(before func(ctx context.Context, b *Batch) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// fakeLogits are the logits behind a prefix of ids.
func fakeLogits(ids []int32) []float32 {
	h := uint64(len(ids))
	for _, id := range ids {
		h = splitmix64(h ^ uint64(id))
	}
	x := make([]float32, fakeVocab)
	for v := range x {
		x[v] = float32(splitmix64(h+uint64(v)*golden)>>40) / (1 << 22) // [0, 4)
	}
	return x
}

// newFake opens an engine of blocks KV blocks on a fakeBackend.
func newFake(t *testing.T, positions, blocks int) (*Engine, *fakeBackend) {
	t.Helper()
	f := &fakeBackend{kv: map[int32]*[BlockSize]cell{}}
	cfg := fakeConfig(positions)
	open := func(_ context.Context, _ weights.Config, _ weights.Source, opt BackendOptions, _ func(done, total int64)) (Backend, error) {
		f.maxBlocks = opt.MaxBlocks
		return f, nil
	}
	e, err := OpenSource(t.Context(), cfg, weights.NewMemory(nil, weights.Halves), open,
		Options{Precision: Exact, KVBytes: int64(blocks) * f.KVBlockBytes()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	e.log = slog.New(slog.DiscardHandler)
	return e, f
}

// fakeGenerate is what Generate should return for one row, computed without
// sessions, blocks or chunks.
func fakeGenerate(req GenerateRequest, row, maxSeqLen int) RowResult {
	prompt := req.Rows[row]
	ids := append([]int32(nil), prompt...)
	res := RowResult{IDs: []int32{}, Finish: FinishLength}
	var s sampler
	score := func(n int) float32 { // of ids[n] after ids[:n]
		x := fakeLogits(ids[:n])
		_, maximum, _ := scan(x)
		return logProb(x, ids[n], logNormalizer(x, maximum))
	}
	if req.Echo {
		res.IDs = append(res.IDs, prompt...)
		if req.LogProbs {
			res.LogProbs = append(res.LogProbs, 0)
			for n := 1; n < len(prompt); n++ {
				res.LogProbs = append(res.LogProbs, score(n))
			}
		}
	}
	var seed uint64
	if len(req.Seeds) > 0 {
		seed = req.Seeds[row]
	}
	for range min(req.MaxGenLen, maxSeqLen-len(prompt)) {
		x := fakeLogits(ids)
		id := draw(&s, x, req.Temperature, req.TopP, seed, len(ids))
		for _, stop := range req.StopIDs {
			if id == stop {
				res.Finish = FinishStop
				return res
			}
		}
		ids = append(ids, id)
		res.IDs = append(res.IDs, id)
		if req.LogProbs {
			res.LogProbs = append(res.LogProbs, score(len(ids)-1))
		}
	}
	return res
}
