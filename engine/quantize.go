package engine

import "github.com/llama-go/llama-go/weights"

// Quantize names the type that a backend converts matrices of 32- and 16-bit
// weights to when it loads them. Norms stay as they are. It is never implied.
type Quantize string

const (
	// NoQuantize keeps the types of the file.
	NoQuantize Quantize = ""
	// Int8 stores a weight in 8 bits, and a scale for each group of weights.
	Int8 Quantize = "int8"
	// Int4 stores a weight in 4 bits, and a scale for each group of weights.
	Int4 Quantize = "int4"
)

// Check refuses a name that is none.
func (q Quantize) Check() error {
	switch q {
	case NoQuantize, Int8, Int4:
		return nil
	}
	return requestErrorf(`pass "int8" or "int4", or leave quantize out to keep the file's types`, `quantize is %.40q, expected "int8" or "int4"`, string(q))
}

// checkTypes refuses weights that are quantized already: their rounding would be
// rounded once more. typeOf is as Estimate takes it.
func (q Quantize) checkTypes(cfg weights.Config, typeOf func(name string) weights.DType) error {
	if q == NoQuantize {
		return nil
	}
	for _, t := range weights.TensorShapes(cfg) {
		if d := typeOf(t.Name); d != 0 && d.BlockSize() > 1 {
			return requestErrorf("open it without quantize, or quantize the original in f32, f16 or bf16",
				"quantize is %q, but the checkpoint is quantized already: %s is %s", string(q), t.Name, d)
		}
	}
	return nil
}

// typesOf tells the stored types of a source whose tensors are there.
func typesOf(src weights.Source) func(name string) weights.DType {
	return func(name string) weights.DType {
		v, _ := src.Tensor(name)
		return v.DType
	}
}
