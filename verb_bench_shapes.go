package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/weights"
)

// benchShapes are the shapes that random weights can have: those of the models
// by these names, but with room for 8192 positions.
var benchShapes = []struct {
	name                                         string
	hidden, inter, layers, heads, kvHeads, vocab int
	tied                                         bool
}{
	{"tinyllama-1.1b", 2048, 5632, 22, 32, 4, 32000, false},
	{"llama-3.2-1b", 2048, 8192, 16, 32, 8, 128256, true},
	{"llama-3.2-3b", 3072, 8192, 28, 24, 8, 128256, true},
	{"llama-2-7b", 4096, 11008, 32, 32, 32, 32000, false},
	{"llama-3.1-8b", 4096, 14336, 32, 32, 8, 128256, false},
	{"smollm2-135m", 576, 1536, 30, 9, 3, 49152, true},
	{"15m", 288, 768, 6, 6, 6, 32000, true},
	{"tiny", 256, 512, 2, 4, 2, 512, true},
}

func shapeNames() []string {
	var names []string
	for _, s := range benchShapes {
		names = append(names, s.name)
	}
	return names
}

// shapeConfig is the config of a shape.
func shapeConfig(name string) weights.Config {
	for _, s := range benchShapes {
		if s.name == name {
			return weights.Config{
				Architecture: "llama", HiddenSize: s.hidden, IntermediateSize: s.inter, NumHiddenLayers: s.layers,
				NumAttentionHeads: s.heads, NumKeyValueHeads: s.kvHeads, HeadDim: s.hidden / s.heads, VocabSize: s.vocab,
				MaxPositionEmbeddings: 8192, RMSNormEps: 1e-5, RopeTheta: 10000, TieWordEmbeddings: s.tied, BOS: -1,
			}
		}
	}
	panic("bench: no shape " + name)
}

// benchType is what matrices are stored as: a type of files, or one of those and
// what it is quantized to at load.
type benchType struct {
	name     string
	dtype    weights.DType
	quantize engine.Quantize
}

// knownTypes lists the types, smaller ones last.
func knownTypes() []benchType {
	var all []benchType
	for d := weights.F32; d.String() != "unknown type"; d++ {
		all = append(all, benchType{name: strings.ToLower(d.String()), dtype: d})
	}
	for _, q := range []engine.Quantize{engine.Int8, engine.Int4} {
		all = append(all, benchType{name: string(q), dtype: weights.BF16, quantize: q})
	}
	return all
}

// parseTypes reads "q4_0,int8" or "all"; "" is none.
func parseTypes(text string) ([]benchType, error) {
	if text == "" {
		return nil, nil
	}
	known := knownTypes()
	if text == "all" {
		return known, nil
	}
	names := []string{"all"}
	for _, t := range known {
		names = append(names, t.name)
	}
	var all []benchType
	for _, name := range strings.Split(strings.ToLower(text), ",") {
		if err := oneOf("type", name, names); err != nil {
			return nil, err
		}
		i := slices.IndexFunc(known, func(t benchType) bool { return t.name == name })
		if i < 0 {
			return nil, &cli.UsageError{Msg: "--type all stands alone"}
		}
		all = append(all, known[i])
	}
	return all, nil
}

// fits tells whether the rows of all matrices of cfg are whole blocks of t.
func (t benchType) fits(cfg weights.Config) error {
	for _, s := range weights.TensorShapes(cfg) {
		if n := s.Shape[len(s.Shape)-1]; len(s.Shape) == 2 && n%t.dtype.BlockSize() != 0 {
			return &cli.UsageError{Msg: fmt.Sprintf("type %s stores %d weights together, and rows of this shape have %d", t.name, t.dtype.BlockSize(), n)}
		}
	}
	return nil
}
