package cpu_test

import (
	"math"
	"testing"

	"github.com/llama-go/llama-go/engine"
)

// The bands of fast mode for SmolLM2-135M-Instruct, whose weights are Q4_1 and
// Q8_0 and so meet int8 activations; llama.cpp lies within half of them.
const (
	smolFastLogit       = 1.5  // logits at the last position of a prompt
	smolFastLogProb     = 1.2  // log-probability of a prompt's token
	smolFastLogProbMean = 0.1  // mean of its differences
	smolFastNLL         = 0.01 // mean over the long text
	smolFastFlips       = 24   // of all steps fed with the golden ids, other argmaxes
	smolFastMargin      = 0.75 // the golden margin that no such step may have
)

// A free greedy run says nothing here, for one near tie decides the rest: the
// golden ids are fed.
func TestSmolLM2Fast(t *testing.T) {
	g, b, vocab := smolLM2(t, engine.Fast)
	t.Log(b.Describe())
	var logit, logprob, sum, margin float64
	tokens, steps, flips := 0, 0, 0
	for _, p := range g.Prompts {
		n := len(p.IDs)
		kv := blocks(0, (n+len(p.GreedyIDs))/engine.BlockSize+1)
		logits := step(t, b, engine.Row{Tokens: p.IDs, Blocks: kv, LastN: n})[0]
		for i := 1; i < n; i++ {
			d := math.Abs(logProb(logits[(i-1)*vocab:][:vocab], p.IDs[i]) - *p.LogProbs[i])
			logprob, sum, tokens = max(logprob, d), sum+d, tokens+1
		}
		last := logits[(n-1)*vocab:]
		for _, top := range p.LastTop {
			logit = max(logit, math.Abs(float64(last[top.ID])-top.Logit))
		}
		for i, id := range g.FixedIDs {
			logit = max(logit, math.Abs(float64(last[id])-p.LastFixed[i]))
		}
		for i, want := range p.GreedyIDs {
			if argmax(last) != want {
				flips, margin = flips+1, max(margin, p.Margins[i])
			}
			steps++
			last = step(t, b, engine.Row{Tokens: []int32{want}, Start: n + i, Blocks: kv, LastN: 1})[0]
		}
	}
	nll, _ := meanNLL(t, &g, b, vocab)
	mean := sum / float64(tokens)
	t.Logf("max |Δlogit| %.2f; |Δlogprob| max %.2f, mean %.3f; %d of %d argmaxes differ, margins up to %.2f; mean NLL %+.5f",
		logit, logprob, mean, flips, steps, margin, nll-g.Perplexity.MeanNLL)
	if !(logit <= smolFastLogit) || !(logprob <= smolFastLogProb) || !(mean <= smolFastLogProbMean) ||
		!(math.Abs(nll-g.Perplexity.MeanNLL) <= smolFastNLL) || flips > smolFastFlips || !(margin < smolFastMargin) {
		t.Error("outside the band of fast mode")
	}
}
