package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/x448/float16"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/weights"
)

// tinyConfig is a model with grouped heads, plain RoPE and an untied output.
func tinyConfig() weights.Config {
	return weights.Config{
		Architecture: "llama", HiddenSize: 64, IntermediateSize: 96, NumHiddenLayers: 2,
		NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 16, VocabSize: 199, MaxPositionEmbeddings: 512,
		RMSNormEps: 1e-5, RopeTheta: 10000, BOS: -1,
	}
}

// tinyWeights are random weights of a spread that makes the logits differ widely.
func tinyWeights(cfg weights.Config, matrices weights.DType) weights.Source {
	rng := rand.New(rand.NewPCG(11, 12))
	var views []weights.View
	for _, t := range weights.TensorShapes(cfg) {
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		v := weights.View{Name: t.Name, DType: matrices, Shape: t.Shape}
		if strings.HasSuffix(t.Name, "norm.weight") {
			v.DType = weights.F32
		}
		for range n / v.DType.BlockSize() {
			switch v.DType {
			case weights.F32:
				f := float32(0.25 * rng.NormFloat64())
				if len(t.Shape) == 1 {
					f += 1
				}
				v.Data = binary.LittleEndian.AppendUint32(v.Data, math.Float32bits(f))
			case weights.F16:
				v.Data = binary.LittleEndian.AppendUint16(v.Data, float16.Fromfloat32(float32(0.25*rng.NormFloat64())).Bits())
			case weights.BF16:
				v.Data = binary.LittleEndian.AppendUint16(v.Data, uint16(math.Float32bits(float32(0.25*rng.NormFloat64()))>>16))
			default: // random numbers under an f16 scale and an f16 minimum
				b := make([]byte, v.DType.BlockBytes())
				for i := range b {
					b[i] = byte(rng.UintN(256))
				}
				s := blockScales[v.DType]
				binary.LittleEndian.PutUint16(b[s.at:], float16.Fromfloat32(s.scale*(1+rng.Float32())).Bits())
				if s.minimum != 0 {
					binary.LittleEndian.PutUint16(b[s.at+2:], float16.Fromfloat32(s.minimum).Bits())
				}
				v.Data = append(v.Data, b...)
			}
		}
		views = append(views, v)
	}
	return weights.NewMemory(views, weights.Halves)
}

// blockScales are where a block's scale lies, with a minimum after it, and sizes
// that even out the spread of the types' numbers.
var blockScales = map[weights.DType]struct {
	at             int
	scale, minimum float32
}{
	weights.Q8_0: {0, 0.003, 0}, weights.Q4_0: {0, 0.036, 0}, weights.Q4_1: {0, 0.036, -0.4},
	weights.Q5_0: {0, 0.018, 0}, weights.Q5_1: {0, 0.018, -0.4},
	weights.Q4_K: {0, 0.0004, 0.004}, weights.Q5_K: {0, 0.0002, 0.004}, weights.Q6_K: {208, 0.0001, 0},
}

func openTiny(t *testing.T, dtype weights.DType, p engine.Precision, threads int) *engine.Engine {
	t.Helper()
	cfg := tinyConfig()
	if dtype.BlockSize() > 32 { // whole blocks
		cfg.HiddenSize, cfg.IntermediateSize, cfg.HeadDim = 256, 256, 64
	}
	e, err := engine.OpenSource(t.Context(), cfg, tinyWeights(cfg, dtype), cpu.Open,
		engine.Options{Precision: p, Threads: threads, KVBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func prompt(n, salt int) []int32 {
	rng := rand.New(rand.NewPCG(uint64(salt), 5))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(199))
	}
	return ids
}

// rowsOf is a batch of prompts around the sizes where blocks and chunks end.
func rowsOf() engine.GenerateRequest {
	shared := prompt(70, 1)
	return engine.GenerateRequest{
		Rows:      [][]int32{prompt(1, 2), slices.Concat(shared, prompt(30, 3)), prompt(64, 4), slices.Concat(shared, prompt(77, 5)), prompt(3, 6)},
		Seeds:     []uint64{1, 2, 3, 4, 5},
		MaxGenLen: 8, LogProbs: true, TopLogProbs: 3, TopP: 0.95,
	}
}

// only is the request of one row alone.
func only(req engine.GenerateRequest, i int) engine.GenerateRequest {
	req.Rows, req.Seeds = req.Rows[i:i+1], req.Seeds[i:i+1]
	return req
}

func run(t *testing.T, s *engine.Session, ctx context.Context, req engine.GenerateRequest) engine.GenerateResult {
	t.Helper()
	res, err := s.Generate(ctx, req, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func session(t *testing.T, e *engine.Engine) *engine.Session {
	t.Helper()
	s, err := e.NewSession(8, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// same compares a row with the reference, bit by bit.
func same(t *testing.T, what string, got, want engine.RowResult) {
	t.Helper()
	equalBits := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
	if !slices.Equal(got.IDs, want.IDs) || !slices.EqualFunc(got.LogProbs, want.LogProbs, equalBits) || got.Finish != want.Finish {
		t.Errorf("%s:\n got %v %v %s\nwant %v %v %s", what, got.IDs, got.LogProbs, got.Finish, want.IDs, want.LogProbs, want.Finish)
	}
}

// TestRowsDependOnNothingElse is the promise that a row's ids and
// log-probabilities are bit-equal alone and in company, for any chunking of
// the prompt, with 1 and 2 threads, after an interrupt, and on top of what the
// session held before.
func TestRowsDependOnNothingElse(t *testing.T) {
	dtypes := []weights.DType{weights.F32, weights.F16, weights.BF16, weights.Q8_0, weights.Q4_0, weights.Q4_1,
		weights.Q5_0, weights.Q5_1, weights.Q4_K, weights.Q5_K, weights.Q6_K}
	modes := []string{"greedy", "sampled with echo"}
	if raceEnabled {
		dtypes, modes = dtypes[5:6], modes[1:]
	}
	for _, dtype := range dtypes {
		for _, precision := range []engine.Precision{engine.Exact, engine.Fast} {
			for _, mode := range modes {
				t.Run(fmt.Sprintf("%v/%s/%s", dtype, precision, mode), func(t *testing.T) {
					req := rowsOf()
					if mode != "greedy" {
						req.Temperature, req.Echo = 1, true
					}
					checkInvariance(t, openTiny(t, dtype, precision, 1), openTiny(t, dtype, precision, 2), req)
				})
			}
		}
	}
}

func checkInvariance(t *testing.T, one, two *engine.Engine, req engine.GenerateRequest) {
	var want []engine.RowResult // each row alone, in a fresh session, on one thread
	distinct := map[int32]bool{}
	for i := range req.Rows {
		r := run(t, session(t, one), t.Context(), only(req, i)).Rows[0]
		want = append(want, r)
		for _, id := range r.IDs {
			distinct[id] = true
		}
	}
	if len(distinct) < 10 {
		t.Fatalf("only %d different tokens: the model says too little", len(distinct))
	}
	chunks, cuts := []int{256, 64, 17, 1}, []int{0, 2, 9, 20}
	if raceEnabled {
		chunks, cuts = []int{256, 17}, []int{4}
	}
	for threads, e := range map[int]*engine.Engine{1: one, 2: two} {
		for _, chunk := range chunks {
			engine.SetChunk(e, chunk)
			s := session(t, e)
			for i, got := range run(t, s, t.Context(), req).Rows {
				same(t, fmt.Sprintf("threads %d chunk %d row %d in company", threads, chunk, i), got, want[i])
			}
			if chunk != 17 {
				continue
			}
			// On top of what the rows hold now: the same again, then in other rows.
			for i, got := range run(t, s, t.Context(), req).Rows {
				same(t, fmt.Sprintf("threads %d chunk %d row %d again", threads, chunk, i), got, want[i])
			}
			turned := req
			turned.Rows = slices.Concat(req.Rows[3:], req.Rows[:3])
			turned.Seeds = slices.Concat(req.Seeds[3:], req.Seeds[:3])
			for i, got := range run(t, s, t.Context(), turned).Rows {
				same(t, fmt.Sprintf("threads %d chunk %d row %d moved", threads, chunk, i), got, want[(i+3)%5])
			}
		}
		engine.SetChunk(e, 17)
		for _, cut := range cuts {
			s := session(t, e)
			interrupt(t, s, req, cut)
			for i, got := range run(t, s, t.Context(), req).Rows {
				same(t, fmt.Sprintf("threads %d row %d after an interrupt at step %d", threads, i, cut), got, want[i])
			}
		}
		// Two clients at once.
		var wg sync.WaitGroup
		for c := range 2 {
			s := session(t, e)
			wg.Go(func() {
				for i := range req.Rows {
					i = (i + c) % len(req.Rows)
					res, err := s.Generate(t.Context(), only(req, i), nil, nil)
					if err != nil {
						t.Error(err)
						return
					}
					same(t, fmt.Sprintf("threads %d row %d beside another client", threads, i), res.Rows[0], want[i])
				}
			})
		}
		wg.Wait()
	}
}

// interrupt runs a request and cancels it after about cut steps.
func interrupt(t *testing.T, s *engine.Session, req engine.GenerateRequest, cut int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	step := func() {
		if n++; n > cut {
			cancel()
		}
	}
	if _, err := s.Generate(ctx, req, func([]engine.Token) { step() }, func(int, int) { step() }); err != nil {
		t.Fatal(err)
	}
}

// TestForwardEqualsGenerate compares the logits of Forward, in pieces of any size,
// with the log-probabilities that Generate gives for the same ids.
func TestForwardEqualsGenerate(t *testing.T) {
	e := openTiny(t, weights.BF16, engine.Exact, 2)
	ids := prompt(150, 9)
	want := run(t, session(t, e), t.Context(), engine.GenerateRequest{Rows: [][]int32{ids}, Echo: true, LogProbs: true}).Rows[0].LogProbs
	for _, piece := range []int{150, 64, 13, 1} {
		s := session(t, e)
		for start := 0; start < len(ids); start += piece {
			part := ids[start:min(start+piece, len(ids))]
			logits, shape, err := s.Forward(t.Context(), [][]int32{part}, start, nil)
			if err != nil || shape != [3]int{1, len(part), 199} {
				t.Fatalf("shape %v: %v", shape, err)
			}
			for i := range part {
				if start+i+1 == len(ids) {
					break
				}
				x := logits[i*199 : (i+1)*199]
				if got := logSoftmax(x, ids[start+i+1]); math.Abs(got-float64(want[start+i+1])) > 1e-6*math.Abs(got)+1e-6 {
					t.Fatalf("piece %d position %d: %v, generate says %v", piece, start+i, got, want[start+i+1])
				}
			}
		}
	}
}

func logSoftmax(x []float32, id int32) float64 {
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v))
	}
	return float64(x[id]) - math.Log(sum)
}
