package cpu_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/weights"
)

// endsAt is a context that ends at the n-th look.
type endsAt struct {
	context.Context
	left atomic.Int64
}

func (c *endsAt) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// Each way in which tensors or a config can be wrong, found before anything is
// computed.
func TestOpenRefuses(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := tinyCases(t)[0]
	const qProj = "model.layers.1.self_attn.q_proj.weight"
	change := func(name string, f func(v *weights.View)) func(cfg *weights.Config, views []weights.View) []weights.View {
		return func(_ *weights.Config, views []weights.View) []weights.View {
			for i := range views {
				if views[i].Name == name {
					f(&views[i])
				}
			}
			return views
		}
	}
	for _, tc := range []struct {
		name   string
		change func(cfg *weights.Config, views []weights.View) []weights.View
		want   []string
	}{
		{"missing", change(qProj, func(v *weights.View) { v.Name = "other" }), []string{qProj, "found nothing", "expected shape [64 64]"}},
		{"missing norm", change("model.norm.weight", func(v *weights.View) { v.Name = "other" }), []string{"model.norm.weight", "expected shape [64]"}},
		{"missing lm_head", change("lm_head.weight", func(v *weights.View) { v.Name = "other" }), []string{"lm_head.weight", "expected shape [96 64]"}},
		{"wrong shape", change(qProj, func(v *weights.View) { v.Shape = []int{64, 32} }), []string{qProj, "found shape [64 32]", "expected shape [64 64]"}},
		{"transposed", change("model.layers.0.mlp.up_proj.weight", func(v *weights.View) { v.Shape = []int{64, 96} }), []string{"mlp.up_proj", "found shape [64 96]", "expected shape [96 64]"}},
		{"flat", change(qProj, func(v *weights.View) { v.Shape = []int{4096} }), []string{qProj, "found shape [4096]"}},
		{"unknown type", change(qProj, func(v *weights.View) { v.DType = 99 }), []string{qProj, "found unknown type", "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K"}},
		{"too few bytes", change(qProj, func(v *weights.View) { v.Data = v.Data[1:] }), []string{qProj, "16383 bytes"}},
		{"too few bytes in a norm", change("model.norm.weight", func(v *weights.View) { v.Data = v.Data[4:] }), []string{"model.norm.weight", "252 bytes"}},
		{"more heads in the config", func(cfg *weights.Config, views []weights.View) []weights.View {
			cfg.NumAttentionHeads = 8
			return views
		}, []string{"model.layers.0.self_attn.q_proj.weight", "expected shape [128 64]"}},
		{"odd head_dim", func(cfg *weights.Config, views []weights.View) []weights.View { cfg.HeadDim = 15; return views }, []string{"head_dim", "15", "even"}},
		{"no layers", func(cfg *weights.Config, views []weights.View) []weights.View { cfg.NumHiddenLayers = 0; return views }, []string{"num_hidden_layers", "positive"}},
		{"heads", func(cfg *weights.Config, views []weights.View) []weights.View { cfg.NumKeyValueHeads = 3; return views }, []string{"num_attention_heads", "multiple of num_key_value_heads (3)"}},
		{"eps", func(cfg *weights.Config, views []weights.View) []weights.View {
			cfg.RMSNormEps = math.NaN()
			return views
		}, []string{"rms_norm_eps", "NaN"}},
		{"theta", func(cfg *weights.Config, views []weights.View) []weights.View { cfg.RopeTheta = 0; return views }, []string{"rope_theta", "positive"}},
		{"scaling", func(cfg *weights.Config, views []weights.View) []weights.View {
			cfg.RopeScaling = weights.RopeScaling{Type: "yarn", Factor: 2}
			return views
		}, []string{"rope_type", `"yarn"`}},
		{"scaling without factor", func(cfg *weights.Config, views []weights.View) []weights.View {
			cfg.RopeScaling.Type = "linear"
			return views
		}, []string{"rope_scaling.factor", "positive"}},
		{"llama3 without its numbers", func(cfg *weights.Config, views []weights.View) []weights.View {
			cfg.RopeScaling = weights.RopeScaling{Type: "llama3", Factor: 8}
			return views
		}, []string{"rope_scaling", "low_freq_factor"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := c.Config.Config
			views := tc.change(&cfg, c.views())
			_, err := cpu.Open(context.Background(), cfg, weights.NewMemory(views, weights.Halves), engine.BackendOptions{}, nil)
			checkError(t, err, tc.want)
			var te *cpu.TensorError
			var ce *cpu.ConfigError
			if !errors.As(err, &te) && !errors.As(err, &ce) {
				t.Errorf("%T is no typed error", err)
			}
		})
	}
	t.Run("rope factors", func(t *testing.T) {
		for _, f := range [][]float32{{1, 2, 3}, {1, 1, 1, 1, 1, 1, 1, 0}} {
			_, err := cpu.Open(context.Background(), c.Config.Config, withFactors{c.source(), f}, engine.BackendOptions{}, nil)
			checkError(t, err, []string{"rope_freqs.weight"})
		}
	})
	t.Run("precision", func(t *testing.T) {
		_, err := cpu.Open(context.Background(), c.Config.Config, c.source(), engine.BackendOptions{Precision: "double"}, nil)
		checkError(t, err, []string{"precision", `"double"`, `"exact" or "fast"`})
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := cpu.Open(ctx, c.Config.Config, c.source(), engine.BackendOptions{}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
	})
	t.Run("cancelled while it packs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		stop := func(done, total int64) { cancel() }
		if _, err := cpu.Open(ctx, c.Config.Config, c.source(), engine.BackendOptions{}, stop); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

func checkError(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
}

// A batch with a wrong row is refused whole, and the next one is computed.
func TestStepRefuses(t *testing.T) {
	c := tinyCases(t)[0]
	b, err := cpu.Open(context.Background(), c.Config.Config, c.source(), engine.BackendOptions{MaxBlocks: 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	good := engine.Row{Tokens: []int32{1, 2}, Blocks: []int32{0}, LastN: 1}
	for _, tc := range []struct {
		name string
		row  engine.Row
		want string
	}{
		{"no tokens", engine.Row{Blocks: []int32{0}}, "no tokens"},
		{"negative id", engine.Row{Tokens: []int32{-1}, Blocks: []int32{0}}, "id -1, the vocabulary has 96"},
		{"id beyond", engine.Row{Tokens: []int32{5, 96}, Blocks: []int32{0}}, "token 1 is id 96, the vocabulary has 96"},
		{"no blocks", engine.Row{Tokens: []int32{1}}, "positions 0 to 0 in 0 blocks"},
		{"beyond the blocks", engine.Row{Tokens: []int32{1, 2}, Start: 63, Blocks: []int32{0}}, "positions 63 to 64 in 1 blocks, which hold 64"},
		{"negative start", engine.Row{Tokens: []int32{1}, Start: -1, Blocks: []int32{0}}, "positions -1"},
		{"huge start", engine.Row{Tokens: []int32{1}, Start: math.MaxInt, Blocks: []int32{0}}, "in 1 blocks"},
		{"negative block", engine.Row{Tokens: []int32{1}, Blocks: []int32{-1}}, "number -1 of at most 4"},
		{"block beyond", engine.Row{Tokens: []int32{1}, Blocks: []int32{4}}, "number 4 of at most 4"},
		{"more logits than tokens", engine.Row{Tokens: []int32{1}, Blocks: []int32{0}, LastN: 2}, "last 2 of 1"},
		{"negative logits", engine.Row{Tokens: []int32{1}, Blocks: []int32{0}, LastN: -1}, "last -1 of 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := b.Step(context.Background(), &engine.Batch{Rows: []engine.Row{good, tc.row}})
			var be *cpu.BatchError
			if !errors.As(err, &be) || be.Row != 1 || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one of row 1 with %q", err, tc.want)
			}
		})
	}
	if res, err := b.Step(context.Background(), &engine.Batch{Rows: []engine.Row{good}}); err != nil || len(res.Logits[0]) != 96 {
		t.Errorf("the next step: %v", err)
	}
	if res, err := b.Step(context.Background(), &engine.Batch{}); err != nil || len(res.Logits) != 0 {
		t.Errorf("an empty batch: %v", err)
	}
}

func TestCloseEndsWorkers(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := tinyCases(t)[0]
	b, err := cpu.Open(context.Background(), c.Config.Config, c.source(), engine.BackendOptions{Threads: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.KVBlockBytes(), int64(2*2*4*16*engine.BlockSize*4); got != want {
		t.Errorf("a block takes %d bytes, want %d", got, want)
	}
	if d := b.Describe(); !strings.Contains(d, "3 threads on ") {
		t.Errorf("%q does not tell the threads", d)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Step(context.Background(), &engine.Batch{}); !errors.Is(err, cpu.ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
}

func TestProgressCountsEveryByteOnce(t *testing.T) {
	c := tinyCases(t)[0]
	var total int64
	for _, v := range c.views() {
		total += int64(len(v.Data))
	}
	last := int64(0)
	b, err := cpu.Open(context.Background(), c.Config.Config, c.source(), engine.BackendOptions{}, func(done, all int64) {
		if done <= last || all != total {
			t.Errorf("%d of %d after %d, want a total of %d", done, all, last, total)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != total {
		t.Errorf("%d bytes of %d were told", last, total)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
