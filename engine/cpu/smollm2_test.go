package cpu_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/testdata"
)

// The bands of exact mode for SmolLM2-135M-Instruct against transformers in
// float32 on the dequantized file.
const (
	smolLogit   = 1e-3 // logits at the last position of a prompt
	smolLogProb = 5e-4 // log-probability of a prompt's token
	smolNLL     = 5e-5 // mean over the long text
)

type idLogit struct {
	ID    int32
	Logit float64
}

// UnmarshalJSON reads [id, logit].
func (p *idLogit) UnmarshalJSON(b []byte) error {
	var pair [2]float64
	err := json.Unmarshal(b, &pair)
	p.ID, p.Logit = int32(pair[0]), pair[1]
	return err
}

type smolGolden struct {
	FixedIDs []int32 `json:"fixed_ids"`
	Prompts  []struct {
		Name       string     `json:"name"`
		IDs        []int32    `json:"ids"`
		LogProbs   []*float64 `json:"logprobs"` // of ids[i]; null for the first
		LastTop    []idLogit  `json:"last_top"`
		LastFixed  []float64  `json:"last_fixed"`
		GreedyIDs  []int32    `json:"greedy_ids"`
		Margins    []float64  `json:"margins"` // of greedy_ids over the second best
		ExactSteps int        `json:"exact_steps"`
	} `json:"prompts"`
	Perplexity struct {
		IDs     []int32   `json:"ids"`
		NLL     []float64 `json:"nll"`
		MeanNLL float64   `json:"mean_nll"`
	} `json:"perplexity"`
}

func smolLM2(t testing.TB, mode engine.Precision) (smolGolden, engine.Backend, int) {
	t.Helper()
	if testing.Short() || raceDetector {
		t.Skip("smollm2 takes tens of seconds, minutes under the race detector: not with -short or -race")
	}
	var g smolGolden
	readGolden(t, &g, testdata.Dir(t), "smollm2", "golden.json")
	ck, b := openCheckpoint(t, testdata.SmolLM2(t), mode, 0)
	return g, b, ck.Config.VocabSize
}

func TestSmolLM2Prompts(t *testing.T) {
	g, b, vocab := smolLM2(t, engine.Exact)
	for _, p := range g.Prompts {
		t.Run(p.Name, func(t *testing.T) {
			n := len(p.IDs)
			kv := blocks(0, (n+len(p.GreedyIDs))/engine.BlockSize+1)
			begin := time.Now()
			logits := step(t, b, engine.Row{Tokens: p.IDs, Blocks: kv, LastN: n})[0]
			prefill := time.Since(begin)
			worst := 0.0
			for i := 1; i < n; i++ {
				worst = max(worst, math.Abs(logProb(logits[(i-1)*vocab:][:vocab], p.IDs[i])-*p.LogProbs[i]))
			}
			last := logits[(n-1)*vocab:]
			worstLogit := 0.0
			for _, top := range p.LastTop {
				worstLogit = max(worstLogit, math.Abs(float64(last[top.ID])-top.Logit))
			}
			for i, id := range g.FixedIDs {
				worstLogit = max(worstLogit, math.Abs(float64(last[id])-p.LastFixed[i]))
			}
			begin = time.Now()
			for i, want := range p.GreedyIDs[:p.ExactSteps] {
				if got := argmax(last); got != want {
					t.Fatalf("greedy token %d is %d, want %d", i, got, want)
				}
				last = step(t, b, engine.Row{Tokens: []int32{want}, Start: n + i, Blocks: kv, LastN: 1})[0]
			}
			t.Logf("max |Δlogit| %.1e, max |Δlogprob| %.1e; %d greedy tokens equal; prefill with all logits %.0f tok/s, decode %.1f tok/s",
				worstLogit, worst, p.ExactSteps, float64(n)/prefill.Seconds(), float64(p.ExactSteps)/time.Since(begin).Seconds())
			if !(worstLogit <= smolLogit) || !(worst <= smolLogProb) {
				t.Errorf("logits differ by %.3g, allowed %.0e; log-probabilities by %.3g, allowed %.0e", worstLogit, smolLogit, worst, smolLogProb)
			}
		})
	}
}

func TestSmolLM2Perplexity(t *testing.T) {
	g, b, vocab := smolLM2(t, engine.Exact)
	mean, worst := meanNLL(t, &g, b, vocab)
	t.Logf("mean NLL %.6f, golden %.6f; max |ΔNLL| of a token %.1e", mean, g.Perplexity.MeanNLL, worst)
	if !(math.Abs(mean-g.Perplexity.MeanNLL) <= smolNLL) {
		t.Errorf("mean NLL %.6f, want %.6f ± %.0e", mean, g.Perplexity.MeanNLL, smolNLL)
	}
}

// meanNLL runs the long text in chunks; worst is the largest difference of a
// token's NLL from the golden one.
func meanNLL(t *testing.T, g *smolGolden, b engine.Backend, vocab int) (mean, worst float64) {
	ids, nll := g.Perplexity.IDs, 0.0
	kv := blocks(0, len(ids)/engine.BlockSize+1)
	const chunk = 256
	for at := 0; at < len(ids); at += chunk {
		n := min(chunk, len(ids)-at)
		logits := step(t, b, engine.Row{Tokens: ids[at : at+n], Start: at, Blocks: kv, LastN: n})[0]
		for i := range n {
			if at+i+1 < len(ids) {
				v := -logProb(logits[i*vocab:][:vocab], ids[at+i+1])
				worst = max(worst, math.Abs(v-g.Perplexity.NLL[at+i]))
				nll += v
			}
		}
	}
	return nll / float64(len(ids)-1), worst
}

// The last logits of a prompt have the same bits from one step on two threads,
// from uneven chunks beside another prompt on one thread, and from single
// tokens.
func TestSmolLM2BitsDoNotDependOnChunks(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) { checkSmolChunks(t, mode) })
	}
}

func checkSmolChunks(t *testing.T, mode engine.Precision) {
	g, two, _ := smolLM2(t, mode)
	_, one := openCheckpoint(t, testdata.SmolLM2(t), mode, 1)
	ids := g.Prompts[0].IDs
	for len(ids) < 20 {
		ids = append(ids, g.Prompts[1].IDs...)
	}
	ids = ids[:20]
	want := step(t, two, engine.Row{Tokens: ids, Blocks: blocks(0, 1), LastN: 1})[0]
	for _, cuts := range [][]int{{7, 8, 20}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}} {
		var last []float32
		at := 0
		for _, end := range cuts {
			last = step(t, one,
				engine.Row{Tokens: ids[at:end], Start: at, Blocks: blocks(1, 1), LastN: 1},
				engine.Row{Tokens: ids[:3], Blocks: blocks(2, 1)})[0]
			at = end
		}
		for i := range want {
			if math.Float32bits(last[i]) != math.Float32bits(want[i]) {
				t.Fatalf("cut at %v: logit %d is %v, in one step %v", cuts, i, last[i], want[i])
			}
		}
	}
}
