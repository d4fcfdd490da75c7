package cpu_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/weights"
)

// tolerance of logits against transformers in float32 on the same weights.
const tolerance = 1e-4

// checkLogits runs the ids of a case in one step and compares with its golden
// logits.
func checkLogits(t *testing.T, c *tinyCase, b engine.Backend) {
	t.Helper()
	n, vocab := len(c.IDs), c.Config.VocabSize
	logits := step(t, b, engine.Row{Tokens: c.IDs, Blocks: blocks(0, 3), LastN: n})[0]
	worst := 0.0
	for i, p := range c.Positions {
		worst = max(worst, farthest(logits[p*vocab:][:vocab], c.Logits[i]))
	}
	t.Logf("max |Δlogit| %.1e at %d positions", worst, len(c.Positions))
	if !(worst <= tolerance) {
		t.Errorf("logits differ from transformers by %.3g, allowed %.0e", worst, tolerance)
	}
}

func TestTinyModelsMatchTransformers(t *testing.T) {
	for _, c := range tinyCases(t) {
		t.Run(c.Name, func(t *testing.T) { checkLogits(t, &c, open(t, c.Config.Config, c.source(), 2)) })
	}
}

// A file's rows may lie at any address.
func TestUnalignedWeights(t *testing.T) {
	for _, c := range fewerCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			views := c.views()
			for i, v := range views {
				shift := 1 + i%3
				views[i].Data = append(make([]byte, shift), v.Data...)[shift:]
			}
			checkLogits(t, &c, open(t, c.Config.Config, weights.NewMemory(views, weights.Halves), 2))
		})
	}
}

// With the rows of Q and K in Meta's order and the order named, a model is the
// same model.
func TestInterleavedQK(t *testing.T) {
	for _, c := range fewerCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			views := c.views()
			for i, v := range views {
				if strings.HasSuffix(v.Name, "q_proj.weight") || strings.HasSuffix(v.Name, "k_proj.weight") {
					views[i].Data = interleave(v, c.Config.HeadDim)
				}
			}
			checkLogits(t, &c, open(t, c.Config.Config, weights.NewMemory(views, weights.Interleaved), 2))
		})
	}
}

// interleave moves rows i and i+headDim/2 of each head to 2i and 2i+1.
func interleave(v weights.View, headDim int) []byte {
	rb := len(v.Data) / v.Shape[0]
	out := make([]byte, 0, len(v.Data))
	for head := 0; head < v.Shape[0]; head += headDim {
		for i := range headDim / 2 {
			for _, r := range []int{head + i, head + i + headDim/2} {
				out = append(out, v.Data[r*rb:(r+1)*rb]...)
			}
		}
	}
	return out
}

type withFactors struct {
	weights.Source
	factors []float32
}

func (w withFactors) RopeFactors() []float32 { return w.factors }

// A GGUF gives Llama 3's scaling as divisors of the plain frequencies, with or
// without the numbers they came from.
func TestRopeFactorsStandForLlama3Scaling(t *testing.T) {
	cases := tinyCases(t)
	i := slices.IndexFunc(cases, func(c tinyCase) bool { return c.Config.RopeScaling.Type == "llama3" })
	c := cases[i]
	plain := c.Config.Config
	plain.RopeScaling = weights.RopeScaling{}
	var factors []float32
	for i, f := range c.InvFreq {
		factors = append(factors, float32(plainFreq(plain, i)/f))
	}
	if !slices.ContainsFunc(factors, func(f float32) bool { return f > 7 }) || factors[0] > 1.01 {
		t.Fatalf("factors %v do not scale as the test wants", factors)
	}
	src := withFactors{c.source(), factors}
	checkLogits(t, &c, open(t, plain, src, 2))
	checkLogits(t, &c, open(t, c.Config.Config, src, 2))
}

// A matrix may be of another type than its neighbours.
func TestMixedTypes(t *testing.T) {
	for _, c := range tinyCases(t) {
		if c.DType != "BF16" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			views := c.views()
			for i := 0; i < len(views); i += 2 { // widen: the same values
				wide := make([]byte, 0, 2*len(views[i].Data))
				for b := range slices.Chunk(views[i].Data, 2) {
					wide = append(wide, 0, 0, b[0], b[1])
				}
				views[i].Data, views[i].DType = wide, weights.F32
			}
			checkLogits(t, &c, open(t, c.Config.Config, weights.NewMemory(views, weights.Halves), 2))
		})
	}
}

// plainFreq is the unscaled frequency of pair i.
func plainFreq(c weights.Config, i int) float64 {
	return math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
}
