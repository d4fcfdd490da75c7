package cpu_test

import (
	"testing"

	"github.com/llama-go/llama-go/engine"
)

// fastBounds are what logits of the tiny models may differ by in fast mode, from
// transformers in float32 on the same weights, for each stored type. Their
// weights are random and their logits a few units wide, so that rounding shows
// more than in a trained model.
var fastBounds = map[string]float64{"F32": 5e-3, "F16": 5e-3, "BF16": 0.05, "Q8_0": 0.05, "Q4_0": 0.06, "Q4_1": 0.06,
	"Q5_0": 0.08, "Q5_1": 0.06, "Q4_K": 0.2, "Q5_K": 0.1, "Q6_K": 0.25} // the last three in wider models

func TestTinyModelsInFastMode(t *testing.T) {
	for _, c := range tinyCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			b := openIn(t, engine.Fast, c.Config.Config, c.source(), 2)
			vocab := c.Config.VocabSize
			logits := step(t, b, engine.Row{Tokens: c.IDs, Blocks: blocks(0, 3), LastN: len(c.IDs)})[0]
			worst := 0.0
			for i, p := range c.Positions {
				worst = max(worst, farthest(logits[p*vocab:][:vocab], c.Logits[i]))
			}
			t.Logf("max |Δlogit| %.1e", worst)
			if bound := fastBounds[c.DType]; !(worst <= bound) {
				t.Errorf("logits differ from transformers by %.3g, allowed %.0e", worst, bound)
			}
		})
	}
}
