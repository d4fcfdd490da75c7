package engine_test

import (
	"math"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// Random matrices of block types decode to N(0, 0.02): what is decoded has its
// mean, deviation, fourth moment, and no two neighbours go together.
func TestRandomBlocks(t *testing.T) {
	cfg := weights.Config{
		Architecture: "llama", HiddenSize: 512, IntermediateSize: 768, NumHiddenLayers: 1, NumAttentionHeads: 4,
		NumKeyValueHeads: 4, HeadDim: 128, VocabSize: 2000, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5, RopeTheta: 1e4,
	}
	kernels := map[string]simd.Type{}
	for _, typ := range simd.Types() {
		kernels[typ.String()] = typ
	}
	tested := 0
	for d := weights.F32; d.String() != "unknown type"; d++ {
		if !engine.RandomType(d) {
			t.Errorf("%v: no random source", d)
			continue
		}
		if d.BlockSize() == 1 {
			continue
		}
		tested++
		src := engine.RandomSource(cfg, d, 1)
		if v, ok := src.Tensor("model.norm.weight"); !ok || v.DType != weights.F32 || len(v.Data) != 4*512 {
			t.Errorf("%v: norm is %v, %d bytes", d, v.DType, len(v.Data))
		}
		v, _ := src.Tensor("model.embed_tokens.weight")
		x := make([]float32, 2000*512)
		simd.Decode(kernels[d.String()], x, v.Data)
		var mean, m2, m4, next float64
		for i, w := range x {
			w := float64(w) / 0.02
			mean += w
			m2 += w * w
			m4 += w * w * w * w
			next += w * float64(x[(i+1)%len(x)]) / 0.02
		}
		n := float64(len(x))
		if math.Abs(mean/n) > 0.01 || math.Abs(m2/n-1) > 0.02 || math.Abs(m4/n-3) > 0.15 || math.Abs(next/n) > 0.01 {
			t.Errorf("%v: mean %.4f, square %.4f, fourth %.3f, neighbours %.4f", d, mean/n, m2/n, m4/n, next/n)
		}
	}
	if tested < 3 {
		t.Errorf("%d block types, want Q8_0, Q4_0 and Q4_1 at least", tested)
	}
}
