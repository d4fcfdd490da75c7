package cpu_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// quantizations are the types that matrices are quantized to at load.
var quantizations = []engine.Quantize{engine.Int8, engine.Int4}

// floats tells whether the case's weights can be quantized.
func (c *tinyCase) floats() bool { return dtypeNames[c.DType].BlockSize() == 1 }

// quantizedBounds are what logits of the tiny models may differ by, once their
// weights are quantized, from transformers in float32 on the same weights; fast
// mode adds little to what the weights cost. They are random weights, which suffer
// more than a trained model's.
var quantizedBounds = map[engine.Quantize]float64{engine.Int8: 0.2, engine.Int4: 1.5}

func TestTinyModelsQuantized(t *testing.T) {
	for _, q := range quantizations {
		for _, c := range tinyCases(t) {
			for _, mode := range modes {
				if !c.floats() {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", q, mode, c.Name), func(t *testing.T) {
					b := openQuantized(t, mode, q, c.Config.Config, c.source(), 2)
					vocab := c.Config.VocabSize
					logits := step(t, b, engine.Row{Tokens: c.IDs, Blocks: blocks(0, 3), LastN: len(c.IDs)})[0]
					worst := 0.0
					for i, p := range c.Positions {
						worst = max(worst, farthest(logits[p*vocab:][:vocab], c.Logits[i]))
					}
					t.Logf("max |Δlogit| %.1e", worst)
					if bound := quantizedBounds[q]; !(worst <= bound) {
						t.Errorf("logits differ from transformers by %.3g, allowed %.2g", worst, bound)
					}
				})
			}
		}
	}
}

// In exact mode a quantized model is the float32 model of the weights that its
// rows read back as, within roundings; in fast mode within those of activations,
// which are turned, to int8.
func TestQuantizedIsTheModelOfItsWeights(t *testing.T) {
	for _, q := range quantizations {
		for _, c := range tinyCases(t) {
			if !c.floats() {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", q, c.Name), func(t *testing.T) {
				cfg := c.Config.Config
				want := openIn(t, engine.Exact, cfg, c.quantized(t, q), 2)
				row := engine.Row{Tokens: c.IDs, Blocks: blocks(0, 3), LastN: len(c.IDs)}
				ref := append([]float32(nil), step(t, want, row)[0]...)
				for mode, bound := range map[engine.Precision]float64{engine.Exact: 2e-5, engine.Fast: 0.2} {
					got := step(t, openQuantized(t, mode, q, cfg, c.source(), 2), row)[0]
					worst := 0.0
					for i := range ref {
						worst = max(worst, math.Abs(float64(got[i])-float64(ref[i])))
					}
					t.Logf("%s: max |Δlogit| %.1e", mode, worst)
					if !(worst <= bound) {
						t.Errorf("%s: logits differ by %.3g, allowed %.0e", mode, worst, bound)
					}
				}
			})
		}
	}
}

// quantized is the case's model with matrices of float32 that a quantization kept.
func (c *tinyCase) quantized(t *testing.T, q engine.Quantize) *weights.Memory {
	t.Helper()
	types := map[weights.DType]simd.Type{weights.F32: simd.F32, weights.F16: simd.F16, weights.BF16: simd.BF16}
	views := c.views()
	for i, v := range views {
		if len(v.Shape) != 2 {
			continue
		}
		to := simd.I8
		if q == engine.Int4 && v.Name != "model.embed_tokens.weight" && v.Name != "lm_head.weight" {
			to = simd.I4
		}
		m, err := simd.NewMatrix(types[v.DType], v.Shape[0], v.Shape[1], v.Data)
		if err != nil {
			t.Fatal(err)
		}
		kept := m.As(to)
		stored := kept.Stored(make([]byte, kept.StoredBytes()))
		if err := stored.Quantize(&m, 0, stored.Panels(), make([]float32, simd.QuantizeScratch(m.Cols))); err != nil {
			t.Fatal(err)
		}
		w, data := make([]float32, m.Cols), []byte(nil)
		for r := range m.Rows {
			stored.Row(w, r)
			for _, x := range w {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
			}
		}
		views[i].DType, views[i].Data = weights.F32, data
	}
	return weights.NewMemory(views, weights.Halves)
}

// What cannot be quantized is refused with the tensor's name: files that are
// already, and weights that are no finite numbers.
func TestQuantizeRefuses(t *testing.T) {
	var stored, plain *tinyCase
	cases := tinyCases(t)
	for i := range cases {
		switch cases[i].DType {
		case "Q8_0":
			stored = &cases[i]
		case "F32":
			plain = &cases[i]
		}
	}
	bad := func(v float32) *weights.Memory {
		views := plain.views()
		for i := range views {
			if views[i].Name == "model.layers.1.mlp.up_proj.weight" {
				binary.LittleEndian.PutUint32(views[i].Data[4*77:], math.Float32bits(v))
			}
		}
		return weights.NewMemory(views, weights.Halves)
	}
	for _, q := range quantizations {
		for _, c := range []struct {
			name, tensor string
			cfg          weights.Config
			src          *weights.Memory
		}{
			{"quantized already", "model.embed_tokens.weight", stored.Config.Config, stored.source()},
			{"a NaN", "model.layers.1.mlp.up_proj.weight", plain.Config.Config, bad(float32(math.NaN()))},
			{"an infinity", "model.layers.1.mlp.up_proj.weight", plain.Config.Config, bad(float32(math.Inf(-1)))},
			{"a sum that overflows", "model.layers.1.mlp.up_proj.weight", plain.Config.Config, bad(math.MaxFloat32)},
		} {
			_, err := cpu.Open(context.Background(), c.cfg, c.src, engine.BackendOptions{Quantize: q}, nil)
			var e *cpu.TensorError
			if c.name == "a sum that overflows" && err == nil { // its neighbours are small: it needs none
				continue
			}
			if !errors.As(err, &e) || e.Name != c.tensor {
				t.Errorf("%s, %s: error %v, want a *TensorError of %s", q, c.name, err, c.tensor)
			}
		}
	}
	_, err := cpu.Open(context.Background(), plain.Config.Config, plain.source(), engine.BackendOptions{Quantize: "int2"}, nil)
	var e *engine.RequestError
	if !errors.As(err, &e) {
		t.Errorf("error %v, want a *RequestError", err)
	}
}

// A load that quantizes tells of all bytes, and ends when its context does.
func TestQuantizeProgressAndCancel(t *testing.T) {
	c := tinyCases(t)[1]
	for _, q := range quantizations {
		var reports []int64
		var all int64
		opt := engine.BackendOptions{Quantize: q}
		b, err := cpu.Open(context.Background(), c.Config.Config, c.source(), opt, func(done, total int64) {
			reports, all = append(reports, done), total
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		for i, done := range reports {
			if done > all || i > 0 && done < reports[i-1] {
				t.Fatalf("progress %v of %d", reports, all)
			}
		}
		if len(reports) == 0 || reports[len(reports)-1] != all {
			t.Fatalf("progress ended at %v of %d", reports, all)
		}
		for stop := range len(reports) {
			ctx, cancel := context.WithCancel(context.Background())
			n := 0
			_, err := cpu.Open(ctx, c.Config.Config, c.source(), opt, func(done, total int64) {
				if n++; n > stop {
					cancel()
				}
			})
			cancel()
			if !errors.Is(err, context.Canceled) && !(err == nil && stop == len(reports)-1) {
				t.Fatalf("cancelled at report %d: error %v", stop, err)
			}
		}
	}
}

// smolQuantized are the bands of smollm2, whose file is widened to float32 first,
// beside the golden numbers of the file: mean NLL of the long text. The file's
// weights lie on a grid of 16 numbers for each 32 already, which eight bits keep and
// four bits for each 128 do not: of a model of this size that costs much.
var smolQuantized = map[engine.Quantize]float64{engine.Int8: 0.012, engine.Int4: 0.45}

func TestSmolLM2Quantized(t *testing.T) {
	g, _, vocab := smolLM2(t, engine.Exact)
	ck, err := weights.Open(context.Background(), testdata.SmolLM2(t), weights.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	src := widened(ck)
	for _, q := range quantizations {
		for _, mode := range modes {
			t.Run(fmt.Sprintf("%s/%s", q, mode), func(t *testing.T) {
				b := openQuantized(t, mode, q, ck.Config, src, 0)
				mean, worst := meanNLL(t, &g, b, vocab)
				t.Logf("mean NLL %.5f, golden %.5f: %+.5f; max |ΔNLL| of a token %.2f", mean, g.Perplexity.MeanNLL, mean-g.Perplexity.MeanNLL, worst)
				if !(math.Abs(mean-g.Perplexity.MeanNLL) <= smolQuantized[q]) {
					t.Errorf("mean NLL %.5f, want %.5f ± %v", mean, g.Perplexity.MeanNLL, smolQuantized[q])
				}
			})
		}
	}
}

// widened is a source with all tensors in float32.
func widened(src weights.Source) *weights.Memory {
	types := map[weights.DType]simd.Type{weights.F32: simd.F32, weights.Q8_0: simd.Q8_0, weights.Q4_1: simd.Q4_1}
	var views []weights.View
	for _, name := range src.Names() {
		v, _ := src.Tensor(name)
		n := 1
		for _, d := range v.Shape {
			n *= d
		}
		w := make([]float32, n)
		simd.Decode(types[v.DType], w, v.Data)
		data := make([]byte, 4*n)
		for i, x := range w {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
		}
		views = append(views, weights.View{Name: name, DType: weights.F32, Shape: v.Shape, Data: data})
	}
	return weights.NewMemory(views, src.QKOrder())
}
