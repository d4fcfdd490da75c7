package cpu

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// model holds the bound weights under the names of the checkpoint. Matrices lie
// where the Source keeps them until they are packed; the norms are widened to
// float32.
type model struct {
	cfg         weights.Config
	order       weights.QKOrder
	embedTokens *simd.Matrix // (vocab, hidden)
	layers      []layer
	norm        []float32    // (hidden,)
	lmHead      *simd.Matrix // (vocab, hidden); embedTokens when tied
}

// layer is model.layers.N.
type layer struct {
	inputLayernorm         []float32 // (hidden,)
	selfAttn               selfAttn
	postAttentionLayernorm []float32 // (hidden,)
	mlp                    mlp
}

type selfAttn struct {
	qProj *simd.Matrix // (heads·headDim, hidden)
	kProj *simd.Matrix // (kvHeads·headDim, hidden)
	vProj *simd.Matrix // (kvHeads·headDim, hidden)
	oProj *simd.Matrix // (hidden, heads·headDim)
}

type mlp struct {
	gateProj *simd.Matrix // (intermediate, hidden)
	upProj   *simd.Matrix // (intermediate, hidden)
	downProj *simd.Matrix // (hidden, intermediate)
}

// simdTypes maps stored types to kernels.
var simdTypes = map[weights.DType]simd.Type{
	weights.F32: simd.F32, weights.F16: simd.F16, weights.BF16: simd.BF16,
	weights.Q8_0: simd.Q8_0, weights.Q4_0: simd.Q4_0, weights.Q4_1: simd.Q4_1,
	weights.Q5_0: simd.Q5_0, weights.Q5_1: simd.Q5_1,
	weights.Q4_K: simd.Q4_K, weights.Q5_K: simd.Q5_K, weights.Q6_K: simd.Q6_K,
}

// typeNames lists the stored types for messages.
func typeNames() string {
	var names []string
	for _, d := range slices.Sorted(maps.Keys(simdTypes)) {
		names = append(names, d.String())
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// tensor is the stored bytes of a matrix, or of a vector, which has none.
type tensor struct {
	name   string
	data   []byte
	matrix *simd.Matrix
}

// binder collects the tensors and the first error, so that bind reads as the
// list of tensors.
type binder struct {
	ctx     context.Context
	src     weights.Source
	tensors []tensor
	err     error
}

// bind checks every tensor that cfg implies and ties them together.
func bind(ctx context.Context, cfg weights.Config, src weights.Source) (*model, []tensor, error) {
	b := &binder{ctx: ctx, src: src}
	hidden, inter := cfg.HiddenSize, cfg.IntermediateSize
	qDim, kvDim := cfg.NumAttentionHeads*cfg.HeadDim, cfg.NumKeyValueHeads*cfg.HeadDim

	m := &model{cfg: cfg, order: src.QKOrder()}
	m.embedTokens = b.matrix("model.embed_tokens.weight", cfg.VocabSize, hidden)
	for i := 0; i < cfg.NumHiddenLayers && b.err == nil; i++ {
		p := fmt.Sprintf("model.layers.%d.", i)
		m.layers = append(m.layers, layer{
			inputLayernorm: b.vector(p+"input_layernorm.weight", hidden),
			selfAttn: selfAttn{
				qProj: b.matrix(p+"self_attn.q_proj.weight", qDim, hidden),
				kProj: b.matrix(p+"self_attn.k_proj.weight", kvDim, hidden),
				vProj: b.matrix(p+"self_attn.v_proj.weight", kvDim, hidden),
				oProj: b.matrix(p+"self_attn.o_proj.weight", hidden, qDim),
			},
			postAttentionLayernorm: b.vector(p+"post_attention_layernorm.weight", hidden),
			mlp: mlp{
				gateProj: b.matrix(p+"mlp.gate_proj.weight", inter, hidden),
				upProj:   b.matrix(p+"mlp.up_proj.weight", inter, hidden),
				downProj: b.matrix(p+"mlp.down_proj.weight", hidden, inter),
			},
		})
	}
	m.norm = b.vector("model.norm.weight", hidden)
	m.lmHead = m.embedTokens
	if !cfg.TieWordEmbeddings {
		m.lmHead = b.matrix("lm_head.weight", cfg.VocabSize, hidden)
	}
	return m, b.tensors, b.err
}

// matrix binds a matrix of (rows, cols).
func (b *binder) matrix(name string, rows, cols int) *simd.Matrix {
	m := b.tensor(name, rows, cols, rows, cols)
	if m != nil {
		b.tensors[len(b.tensors)-1].matrix = m
	}
	return m
}

// vector binds a small tensor of n elements and widens it.
func (b *binder) vector(name string, n int) []float32 {
	m := b.tensor(name, 1, n, n)
	if m == nil {
		return nil
	}
	dst := make([]float32, n)
	m.Row(dst, 0)
	return dst
}

// tensor looks up what must have the given shape, as a matrix of (rows, cols).
func (b *binder) tensor(name string, rows, cols int, shape ...int) *simd.Matrix {
	v, ok := b.view(name, shape...)
	if !ok {
		return nil
	}
	m, err := simd.NewMatrix(simdTypes[v.DType], rows, cols, v.Data)
	if err != nil {
		b.err = &TensorError{name, fmt.Sprintf("%v of %s in %d bytes", v.Shape, v.DType, len(v.Data)), err.Error()}
		return nil
	}
	if b.err = b.ctx.Err(); b.err != nil {
		return nil
	}
	b.tensors = append(b.tensors, tensor{name: name, data: v.Data})
	return &m
}

// view looks a tensor up and checks its shape and type.
func (b *binder) view(name string, shape ...int) (weights.View, bool) {
	if b.err != nil {
		return weights.View{}, false
	}
	v, ok := b.src.Tensor(name)
	if !ok {
		b.err = &TensorError{name, "nothing", fmt.Sprintf("shape %v", shape)}
		return v, false
	}
	if !slices.Equal(v.Shape, shape) {
		b.err = &TensorError{name, fmt.Sprintf("shape %v", v.Shape), fmt.Sprintf("shape %v", shape)}
		return v, false
	}
	if _, ok := simdTypes[v.DType]; !ok {
		b.err = &TensorError{name, v.DType.String(), typeNames()}
		return v, false
	}
	return v, true
}

// checkConfig refuses what the forward pass cannot compute. A checkpoint's
// config has been validated already; one that comes from memory may not.
func checkConfig(c weights.Config) error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"hidden_size", c.HiddenSize}, {"intermediate_size", c.IntermediateSize},
		{"num_hidden_layers", c.NumHiddenLayers}, {"num_attention_heads", c.NumAttentionHeads},
		{"num_key_value_heads", c.NumKeyValueHeads}, {"head_dim", c.HeadDim}, {"vocab_size", c.VocabSize},
	} {
		if f.value < 1 || f.value > math.MaxInt32 {
			return &ConfigError{f.name, fmt.Sprint(f.value), "a positive 32-bit number"}
		}
	}
	switch {
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		return &ConfigError{"num_attention_heads", fmt.Sprint(c.NumAttentionHeads),
			fmt.Sprintf("a multiple of num_key_value_heads (%d)", c.NumKeyValueHeads)}
	case c.HeadDim%2 != 0:
		return &ConfigError{"head_dim", fmt.Sprint(c.HeadDim), "an even number, for RoPE turns pairs"}
	case !(c.RMSNormEps > 0):
		return &ConfigError{"rms_norm_eps", fmt.Sprint(c.RMSNormEps), "a positive number"}
	case !(c.RopeTheta > 0) || math.IsInf(c.RopeTheta, 0):
		return &ConfigError{"rope_theta", fmt.Sprint(c.RopeTheta), "a positive number"}
	}
	return nil
}
