package engine

import (
	"math"
	"slices"
)

// MaxTopLogProbs is the most alternatives that a request may ask for.
const MaxTopLogProbs = 1024

// logNormalizer is log Σ exp(x), with the sum in float64; maximum is x's.
func logNormalizer(x []float32, maximum float32) float64 { // x: (vocab,)
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - float64(maximum))
	}
	return float64(maximum) + math.Log(sum)
}

// logProb is log-softmax(x)[id], rounded to float32 once; norm is x's logNormalizer.
func logProb(x []float32, id int32, norm float64) float32 {
	return float32(float64(x[id]) - norm)
}

// topLogProbs returns the k tokens of the highest logits, the lower id first
// among equal ones.
func topLogProbs(x []float32, k int, norm float64) []TokenLogProb { // x: (vocab,)
	k = min(k, len(x))
	ids := make([]int32, 0, k+1)
	for i, v := range x {
		if len(ids) == k && v <= x[ids[k-1]] {
			continue // an equal one with a lower id stays
		}
		at, _ := slices.BinarySearchFunc(ids, v, func(id int32, v float32) int {
			if x[id] >= v {
				return -1
			}
			return 1
		})
		ids = slices.Insert(ids, at, int32(i))
		ids = ids[:min(k, len(ids))]
	}
	top := make([]TokenLogProb, len(ids))
	for i, id := range ids {
		top[i] = TokenLogProb{ID: id, LogProb: logProb(x, id, norm)}
	}
	return top
}
