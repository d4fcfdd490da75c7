package cpu

import (
	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
)

// quantizedType is what matrices are quantized to. The edges of the model, its
// embeddings and what makes its logits, have eight bits always: with four there too
// smollm2's divergence from its file grows by half.
func quantizedType(q engine.Quantize, edge bool) simd.Type {
	if q == engine.Int4 && !edge {
		return simd.I4
	}
	return simd.I8
}

// checkTypes refuses to quantize what is quantized already.
func (l *loader) checkTypes(tensors []tensor) error {
	if l.quantize == engine.NoQuantize {
		return nil
	}
	for _, t := range tensors {
		if t.matrix == nil {
			continue
		}
		switch t.matrix.Type {
		case simd.F32, simd.F16, simd.BF16:
		default:
			return &TensorError{t.name, t.matrix.Type.String(), "F32, F16 or BF16, which can be quantized"}
		}
	}
	return nil
}

// rows makes a row of scratch for each worker.
func (l *loader) rows(cols int) [][]float32 {
	n := simd.QuantizeScratch(cols)
	if len(l.scratch) == 0 || len(l.scratch[0]) < n {
		l.scratch = make([][]float32, l.pool.Size())
		for i := range l.scratch {
			l.scratch[i] = make([]float32, n)
		}
	}
	return l.scratch
}
