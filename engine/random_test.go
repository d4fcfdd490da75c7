package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/x448/float16"

	"github.com/llama-go/llama-go/weights"
)

func randomConfig() weights.Config {
	c := fakeConfig(64)
	c.HiddenSize, c.HeadDim, c.VocabSize = 256, 256, 5000 // the embedding spans two fill steps
	return c
}

// decode widens a view of F32, F16 or BF16.
func decode(v weights.View) []float64 {
	var out []float64
	for i := 0; i < len(v.Data); i += v.DType.BlockBytes() {
		switch v.DType {
		case weights.F32:
			out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(v.Data[i:]))))
		case weights.F16:
			out = append(out, float64(float16.Frombits(binary.LittleEndian.Uint16(v.Data[i:])).Float32()))
		case weights.BF16:
			out = append(out, float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(v.Data[i:]))<<16)))
		}
	}
	return out
}

func TestRandomSource(t *testing.T) {
	cfg := randomConfig()
	for _, d := range []weights.DType{weights.F32, weights.F16, weights.BF16} {
		src := RandomSource(cfg, d, 1)
		shapes := weights.TensorShapes(cfg)
		if len(src.Names()) != len(shapes) {
			t.Fatalf("%d names, want %d", len(src.Names()), len(shapes))
		}
		for _, s := range shapes {
			v, ok := src.Tensor(s.Name)
			n := 1
			for _, x := range s.Shape {
				n *= x
			}
			if !ok || v.DType != d || len(v.Data) != n*d.BlockBytes() {
				t.Fatalf("%s: %v, %v, %d bytes", s.Name, ok, v.DType, len(v.Data))
			}
			x := decode(v)
			if len(s.Shape) == 1 {
				for i, w := range x {
					if w != 1 {
						t.Fatalf("%s[%d] = %v, want 1", s.Name, i, w)
					}
				}
				continue
			}
			// Mean, deviation, fourth moment and correlation of neighbours, within 5 of
			// their standard errors and what rounding to the type adds.
			var mean, m2, m4, next float64
			for i, w := range x {
				w /= 0.02
				mean += w
				m2 += w * w
				m4 += w * w * w * w
				next += w * x[(i+1)%n] / 0.02
			}
			N := float64(n)
			tol := 5 / math.Sqrt(N)
			if math.Abs(mean/N) > tol || math.Abs(m2/N-1) > 1.5*tol+0.003 || math.Abs(m4/N-3) > 10*tol+0.02 || math.Abs(next/N) > tol {
				t.Errorf("%v %s: mean %.4f, square %.4f, fourth %.3f, neighbours %.4f", d, s.Name, mean/N, m2/N, m4/N, next/N)
			}
		}
		if _, ok := src.Tensor("no.such.weight"); ok {
			t.Error("a tensor of an unknown name")
		}
	}
}

func TestRandomSourceIsDeterministic(t *testing.T) {
	cfg := randomConfig()
	a, b, c := RandomSource(cfg, weights.F16, 7), RandomSource(cfg, weights.F16, 7), RandomSource(cfg, weights.F16, 8)
	var told, total int64
	want := b.(lazySource).WeightBytes()
	if err := b.(lazySource).Materialize(t.Context(), func(done, all int64) { told, total = done, all }); err != nil {
		t.Fatal(err)
	}
	if told != want || total != want {
		t.Errorf("progress %d of %d, want %d", told, total, want)
	}
	if n := b.(lazySource).WeightBytes(); n != 0 {
		t.Errorf("%d bytes are missing of a source that is whole", n)
	}
	seen := map[string]string{}
	for _, name := range a.Names() {
		x, _ := a.Tensor(name)
		y, _ := b.Tensor(name)
		z, _ := c.Tensor(name)
		if !bytes.Equal(x.Data, y.Data) {
			t.Errorf("%s: one seed, two tensors", name)
		}
		if len(x.Shape) == 1 {
			continue
		}
		if bytes.Equal(x.Data, z.Data) {
			t.Errorf("%s: two seeds, one tensor", name)
		}
		if other, ok := seen[string(x.Data[:64])]; ok {
			t.Errorf("%s begins as %s", name, other)
		}
		seen[string(x.Data[:64])] = name
	}
	// F32 holds the value before the rounding to F16.
	f32, _ := RandomSource(cfg, weights.F32, 7).Tensor("model.embed_tokens.weight")
	f16, _ := a.Tensor("model.embed_tokens.weight")
	wide, narrow := decode(f32), decode(f16)
	for i := range wide {
		if float64(float16.Fromfloat32(float32(wide[i])).Float32()) != narrow[i] {
			t.Fatalf("element %d: %v is not %v rounded", i, narrow[i], wide[i])
		}
	}
}

func TestRandomSourceCanBeCancelled(t *testing.T) {
	src := RandomSource(randomConfig(), weights.F16, 1)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := src.(lazySource).Materialize(ctx, func(int64, int64) { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls > 3 {
		t.Fatalf("%v after %d reports", err, calls)
	}
	if err := src.(lazySource).Materialize(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRandomSource(b *testing.B) {
	cfg := llama7B()
	cfg.NumHiddenLayers = 1
	for b.Loop() {
		src := RandomSource(cfg, weights.F16, 1).(lazySource)
		b.SetBytes(src.WeightBytes())
		if err := src.Materialize(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
