package cpu

import (
	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

var _ engine.Estimate = Estimate

// Estimate is what Open takes: panels of the matrices that are multiplied from
// panels, the other tensors where they lie, and KV as attention reads it.
func Estimate(cfg weights.Config, typeOf func(name string) weights.DType, opt engine.BackendOptions) engine.Footprint {
	plan := simd.NewPlan(opt.Precision != engine.Exact)
	head := plan.NewAttention(cfg.HeadDim, engine.BlockSize).HeadBytes()
	l := loader{plan: plan}
	f := engine.Footprint{KVBlock: int64(cfg.NumHiddenLayers) * int64(cfg.NumKeyValueHeads) * int64(head)}
	for _, t := range weights.TensorShapes(cfg) {
		d := typeOf(t.Name)
		if d == 0 {
			continue
		}
		rows, cols := 1, t.Shape[len(t.Shape)-1]
		if len(t.Shape) == 2 {
			rows = t.Shape[0]
		}
		w := simd.Matrix{Type: simdTypes[d], Rows: rows, Cols: cols}
		onlyRows := t.Name == "model.embed_tokens.weight" && !cfg.TieWordEmbeddings // looked up, never multiplied
		switch {
		case len(t.Shape) == 2 && opt.Quantize != engine.NoQuantize:
			edge := t.Name == "model.embed_tokens.weight" || t.Name == "lm_head.weight"
			f.Copied += int64(l.bytes(w.As(quantizedType(opt.Quantize, edge))))
		case len(t.Shape) == 2 && plan.Packs(w.Type) && !onlyRows:
			f.Copied += int64(w.PanelBytes())
		default:
			f.InPlace += int64(rows) * int64(w.Type.RowBytes(cols))
		}
	}
	return f
}
