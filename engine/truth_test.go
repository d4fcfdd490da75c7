package engine_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/weights"
)

// TestStories260K goes the whole way from text to text with a trained model, all
// prompts as one batch, against ids, text and log-probabilities of a float64
// reference.
func TestStories260K(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "stories260k")
	var golden struct {
		Cases []struct {
			Prompt    string    `json:"prompt"`
			PromptIDs []int32   `json:"prompt_ids"`
			GreedyIDs []int32   `json:"greedy_ids"` // prompt first
			Text      string    `json:"greedy_text"`
			LogProbs  []float64 `json:"logprobs"` // of GreedyIDs[1:]
		} `json:"cases"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(t.Context(), filepath.Join(dir, "hf_f32"), weights.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(t.Context(), ck, cpu.Open, engine.Options{Precision: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()

	req := engine.GenerateRequest{Echo: true, LogProbs: true}
	for _, c := range golden.Cases {
		ids := append([]int32{int32(e.Tokenizer().BOS())}, e.Tokenizer().Encode(c.Prompt, tokenizer.NoSpecial)...)
		if !slices.Equal(ids, c.PromptIDs) {
			t.Fatalf("%q: ids %v, want %v", c.Prompt, ids, c.PromptIDs)
		}
		req.Rows = append(req.Rows, ids)
		req.MaxGenLen = max(req.MaxGenLen, len(c.GreedyIDs)-len(ids))
	}
	res := run(t, session(t, e), t.Context(), req)
	worst := 0.0
	for i, c := range golden.Cases {
		row, n := res.Rows[i], len(c.GreedyIDs)
		if len(row.IDs) < n || !slices.Equal(row.IDs[:n], c.GreedyIDs) {
			t.Errorf("%q: greedy ids %v, want %v", c.Prompt, row.IDs, c.GreedyIDs)
			continue
		}
		want := strings.TrimPrefix(c.Text, " ") // Decode drops the dummy prefix
		if got := e.Tokenizer().Decode(row.IDs[1:n]); got != want {
			t.Errorf("%q: text %q, want %q", c.Prompt, got, want)
		}
		if row.LogProbs[0] != 0 {
			t.Errorf("%q: the first token has log-probability %v", c.Prompt, row.LogProbs[0])
		}
		for k, want := range c.LogProbs {
			worst = max(worst, math.Abs(float64(row.LogProbs[k+1])-want))
		}
	}
	t.Logf("%d prompts, %d tokens each at most, max |Δ log-probability| %.2g", len(golden.Cases), req.MaxGenLen, worst)
	if worst > 1e-4 {
		t.Errorf("max |Δ log-probability| is %.3g, want at most 1e-4", worst)
	}
}
