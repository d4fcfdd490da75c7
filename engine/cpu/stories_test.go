package cpu_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/weights"
)

// openCheckpoint opens a file or folder and a backend on it.
func openCheckpoint(t testing.TB, path string, mode engine.Precision, threads int) (*weights.Checkpoint, engine.Backend) {
	t.Helper()
	ck, err := weights.Open(context.Background(), path, weights.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	})
	return ck, openIn(t, mode, ck.Config, ck, threads)
}

func readGolden(t testing.TB, into any, elem ...string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// logProb is log softmax(logits)[id] in float64.
func logProb(logits []float32, id int32) float64 {
	top := float64(logits[argmax(logits)])
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return float64(logits[id]) - top - math.Log(sum)
}

// A trained model of 260,000 parameters against a float64 reference.
func TestStories260K(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "stories260k")
	var golden struct {
		Cases []struct {
			Prompt    string      `json:"prompt"`
			PromptIDs []int32     `json:"prompt_ids"`
			GreedyIDs []int32     `json:"greedy_ids"` // prompt first
			LogProbs  []float64   `json:"logprobs"`   // of GreedyIDs[1:]
			First4    [][]float64 `json:"logits_first4"`
			Last      []float64   `json:"logits_last_prompt"`
		} `json:"cases"`
	}
	readGolden(t, &golden, dir, "golden.json")
	ck, b := openCheckpoint(t, filepath.Join(dir, "hf_f32"), engine.Exact, 0)
	vocab := ck.Config.VocabSize
	for _, c := range golden.Cases {
		t.Run(c.Prompt, func(t *testing.T) {
			n := len(c.PromptIDs)
			logits := step(t, b, engine.Row{Tokens: c.PromptIDs, Blocks: blocks(0, 8), LastN: n})[0]
			worst := farthest(logits[(n-1)*vocab:], c.Last)
			for p := range min(4, n) {
				worst = max(worst, farthest(logits[p*vocab:][:vocab], c.First4[p]))
			}
			worstLogProb := 0.0
			last := logits[(n-1)*vocab:]
			for i, want := range c.GreedyIDs[n:] {
				if got := argmax(last); got != want {
					t.Fatalf("greedy token %d is %d, want %d", i, got, want)
				}
				d := math.Abs(logProb(last, want) - c.LogProbs[n-1+i])
				worstLogProb = max(worstLogProb, d)
				if n+i < 4 {
					worst = max(worst, farthest(last, c.First4[n-1+i]))
				}
				last = step(t, b, engine.Row{Tokens: []int32{want}, Start: n + i, Blocks: blocks(0, 8), LastN: 1})[0]
			}
			t.Logf("%d greedy tokens; max |Δlogit| %.1e, max |Δlogprob| %.1e", len(c.GreedyIDs)-n, worst, worstLogProb)
			if !(worst <= 1e-4) || !(worstLogProb <= 1e-4) {
				t.Errorf("logits differ by %.3g, log-probabilities by %.3g; allowed 1e-4", worst, worstLogProb)
			}
		})
	}
}
