package engine

import "github.com/llama-go/llama-go/weights"

// RandomSource is a model without a file.
func RandomSource(cfg weights.Config, dtype weights.DType, seed uint64) weights.Source { return nil }
