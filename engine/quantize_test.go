package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/weights"
)

// TestQuantizeReachesTheBackendOrIsRefused opens sources of each type through a
// backend that only tells what it was asked for.
func TestQuantizeReachesTheBackendOrIsRefused(t *testing.T) {
	told := errors.New("told")
	for _, tc := range []struct {
		name     string
		dtype    weights.DType
		quantize engine.Quantize
		want     []string // of the refusal; nil: the backend is asked
	}{
		{"none", weights.F32, engine.NoQuantize, nil},
		{"none of a quantized file", weights.Q4_1, engine.NoQuantize, nil},
		{"f32 to int8", weights.F32, engine.Int8, nil},
		{"bf16 to int4", weights.BF16, engine.Int4, nil},
		{"f16 to int4", weights.F16, engine.Int4, nil},
		{"unknown", weights.F32, "int5", []string{`"int5"`, `"int8" or "int4"`}},
		{"already quantized", weights.Q4_1, engine.Int8, []string{`"int8"`, "quantized already", "model.embed_tokens.weight is Q4_1"}},
	} {
		for _, file := range []bool{false, true} {
			asked := engine.Quantize("never")
			open := func(_ context.Context, _ weights.Config, _ weights.Source, opt engine.BackendOptions, _ func(done, total int64)) (engine.Backend, error) {
				asked = opt.Quantize
				return nil, told
			}
			cfg, opt := tinyConfig(), engine.Options{Quantize: tc.quantize}
			src := tinyWeights(cfg, tc.dtype)
			var err error
			if file {
				_, err = engine.Open(t.Context(), &weights.Checkpoint{Source: src, Config: cfg}, open, opt)
			} else {
				_, err = engine.OpenSource(t.Context(), cfg, src, open, opt)
			}
			if tc.want == nil {
				if !errors.Is(err, told) || asked != tc.quantize {
					t.Errorf("%s (file %v): the backend was asked for %q: %v", tc.name, file, asked, err)
				}
				continue
			}
			var r *engine.RequestError
			if asked != "never" || !errors.As(err, &r) || r.Hint() == "" {
				t.Errorf("%s (file %v): %v", tc.name, file, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %q does not tell %q", tc.name, err, want)
				}
			}
		}
	}
}
