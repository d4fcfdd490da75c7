package cpu

import (
	"fmt"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/weights"
)

// TestEstimateIsWhatOpenTakes, in both modes, for each type and for tied and
// separate embeddings.
func TestEstimateIsWhatOpenTakes(t *testing.T) {
	cfg := weights.Config{
		Architecture: "llama", HiddenSize: 64, IntermediateSize: 96, NumHiddenLayers: 2, NumAttentionHeads: 4,
		NumKeyValueHeads: 2, HeadDim: 20, VocabSize: 99, MaxPositionEmbeddings: 128, RMSNormEps: 1e-5, RopeTheta: 1e4,
	}
	for _, dtype := range []weights.DType{weights.F32, weights.F16, weights.BF16} {
		for _, mode := range []engine.Precision{engine.Exact, engine.Fast} {
			for i := range 6 {
				tied, q := i%2 == 1, []engine.Quantize{engine.NoQuantize, engine.Int8, engine.Int4}[i/2]
				name := fmt.Sprintf("%s/%s/tied %v/quantize %q", dtype, mode, tied, q)
				cfg := cfg
				cfg.TieWordEmbeddings = tied
				src, opt := engine.RandomSource(cfg, dtype, 1), engine.BackendOptions{Precision: mode, Quantize: q, MaxBlocks: 1}
				opened, err := Open(t.Context(), cfg, src, opt, nil)
				if err != nil {
					t.Fatal(name, err)
				}
				b := opened.(*backend)
				var tensors, stored int64
				for _, n := range src.Names() {
					v, _ := src.Tensor(n)
					tensors, stored = tensors+1, stored+int64(len(v.Data))
				}
				got := Estimate(cfg, func(string) weights.DType { return dtype }, opt)
				copied := int64(len(b.panels.Bytes))
				if got.KVBlock != b.KVBlockBytes() || got.Copied > copied || got.Copied < copied-64*tensors {
					t.Errorf("%s: %+v, made were %d of KV and %d of panels", name, got, b.KVBlockBytes(), copied)
				}
				if copied == 0 && got.InPlace != stored || got.InPlace <= 0 || got.InPlace > stored {
					t.Errorf("%s: %+v of %d stored bytes", name, got, stored)
				}
				if none := Estimate(cfg, func(string) weights.DType { return 0 }, opt); none.Copied+none.InPlace != 0 || none.KVBlock != got.KVBlock {
					t.Errorf("%s: nothing takes %+v", name, none)
				}
				b.Close()
			}
		}
	}
}
