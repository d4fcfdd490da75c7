package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// config reads the config of a llama-architecture file and checks it. The
// output is tied when the file has no output.weight.
func (g *gguf) config() (Config, error) {
	arch, ok, err := g.str("general.architecture", 64)
	if err != nil {
		return Config{}, err
	}
	if !ok || arch != "llama" {
		return Config{}, keyError("general.architecture", "is %q, only \"llama\" is supported", arch)
	}
	if err := g.refuse(); err != nil {
		return Config{}, err
	}
	c := Config{Architecture: "llama", BOS: -1, TieWordEmbeddings: g.find("output.weight") == nil}
	for _, k := range []struct {
		key    string
		to     *int
		absent int // -1: required
	}{
		{"llama.embedding_length", &c.HiddenSize, -1},
		{"llama.feed_forward_length", &c.IntermediateSize, -1},
		{"llama.block_count", &c.NumHiddenLayers, -1},
		{"llama.attention.head_count", &c.NumAttentionHeads, -1},
		{"llama.context_length", &c.MaxPositionEmbeddings, -1},
		{"llama.attention.head_count_kv", &c.NumKeyValueHeads, 0},
		{"llama.attention.key_length", &c.HeadDim, 0},
		{"llama.vocab_size", &c.VocabSize, 0},
	} {
		if *k.to, ok, err = g.integer(k.key, math.MaxInt32); err != nil {
			return Config{}, err
		}
		if !ok && k.absent < 0 {
			return Config{}, keyError(k.key, "is absent")
		}
	}
	if _, ok := g.keys["llama.attention.head_count_kv"]; !ok {
		c.NumKeyValueHeads = c.NumAttentionHeads
	}
	if _, ok := g.keys["llama.vocab_size"]; !ok {
		c.VocabSize = g.rows("token_embd.weight")
	}
	if c.RMSNormEps, ok, err = g.float("llama.attention.layer_norm_rms_epsilon"); err != nil {
		return Config{}, err
	} else if !ok {
		return Config{}, keyError("llama.attention.layer_norm_rms_epsilon", "is absent")
	}
	c = c.withHeadDim()
	if err := g.ropeConfig(&c); err != nil {
		return Config{}, err
	}
	if err := g.specialIDs(&c); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

func (g *gguf) find(name string) *rawTensor {
	i := slices.IndexFunc(g.tensors, func(t rawTensor) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &g.tensors[i]
}

// rows is the outermost dimension of a matrix, 0 when it is not there.
func (g *gguf) rows(name string) int {
	if t := g.find(name); t != nil && len(t.Shape) == 2 {
		return t.Shape[0]
	}
	return 0
}

// refuse names features that llama-architecture files may have and that we do
// not.
func (g *gguf) refuse() error {
	for key, limit := range map[string]int{"llama.expert_count": 1, "split.count": 1} {
		n, _, err := g.integer(key, math.MaxInt32)
		if err != nil {
			return err
		}
		if n > limit {
			what := "mixtures of experts are not supported"
			if key == "split.count" {
				what = "a part of a split model; join the parts with llama-gguf-split --merge"
			}
			return keyError(key, "is %d: %s", n, what)
		}
	}
	for _, key := range []string{"llama.attention.scale", "llama.logit_scale", "llama.residual_scale", "llama.embedding_scale"} {
		if f, ok, err := g.float(key); err != nil {
			return err
		} else if ok && f != 0 {
			return keyError(key, "is %v, which is not supported", f)
		}
	}
	return nil
}

// ropeConfig reads llama.rope.*. Factors of Llama 3's kind come as a tensor
// instead, see ropeFactors.
func (g *gguf) ropeConfig(c *Config) error {
	var ok bool
	var err error
	if c.RopeTheta, ok, err = g.float("llama.rope.freq_base"); err != nil {
		return err
	} else if !ok {
		c.RopeTheta = 10000
	}
	for _, key := range []string{"llama.rope.dimension_count", "llama.attention.key_length", "llama.attention.value_length"} {
		n, ok, err := g.integer(key, math.MaxInt32)
		if err != nil {
			return err
		}
		if ok && n != c.HeadDim {
			return keyError(key, "is %d, only the head dimension (%d) is supported", n, c.HeadDim)
		}
	}
	window, _, err := g.integer("llama.attention.sliding_window", math.MaxInt32)
	if err != nil {
		return err
	}
	if window > 0 && window < c.MaxPositionEmbeddings {
		return keyError("llama.attention.sliding_window", "%d is less than the context (%d): sliding-window attention is not supported", window, c.MaxPositionEmbeddings)
	}
	kind, _, err := g.str("llama.rope.scaling.type", 64)
	if err != nil {
		return err
	}
	factor, hasFactor, err := g.float("llama.rope.scaling.factor")
	if err != nil {
		return err
	}
	if !hasFactor { // the key's older name
		if factor, hasFactor, err = g.float("llama.rope.scale_linear"); err != nil {
			return err
		}
		if hasFactor && kind == "" {
			kind = "linear"
		}
	}
	switch {
	case kind == "" || kind == "none":
	case kind == "linear" && hasFactor:
		if factor != 1 && factor != 0 {
			c.RopeScaling = RopeScaling{Type: "linear", Factor: factor}
		}
	case kind == "linear":
		return keyError("llama.rope.scaling.factor", "is absent, which scaling type \"linear\" needs")
	default:
		return keyError("llama.rope.scaling.type", "%q is not supported, expected \"none\" or \"linear\"", clip(kind))
	}
	return nil
}

// ropeFactors reads rope_freqs.weight, the divisors of the frequencies of a
// model of Llama 3.1's kind, or nil.
func (g *gguf) ropeFactors(c Config) ([]float32, error) {
	t := g.find("rope_freqs.weight")
	if t == nil {
		return nil, nil
	}
	fail := func(format string, args ...any) error {
		return &Error{Kind: KindCheckpoint, Where: fmt.Sprintf("tensor %q", t.Name), Msg: fmt.Sprintf(format, args...)}
	}
	if t.DType != F32 || !slices.Equal(t.Shape, []int{c.HeadDim / 2}) {
		return nil, fail("is %s %v, the config implies F32 [%d]", t.typeName, t.Shape, c.HeadDim/2)
	}
	factors := make([]float32, c.HeadDim/2)
	for i := range factors {
		x := math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		if !(x > 0 && x <= maxFactor) {
			return nil, fail("element %d is %v, expected above 0 and at most %g", i, x, maxFactor)
		}
		factors[i] = x
	}
	return factors, nil
}

// stopTokens are control tokens that end a turn, whatever eos a file names.
var stopTokens = []string{"<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>"}

// controlType is the GGUF token type of control tokens.
const controlType = 3

// specialIDs fills BOS and EOS: the file's eos, and the stopTokens that its
// vocabulary has as control tokens.
func (g *gguf) specialIDs(c *Config) error {
	v, err := g.vocab()
	if err != nil || v == nil {
		return err
	}
	c.BOS = v.BOS
	if v.EOS >= 0 {
		c.EOS = []int{v.EOS}
	}
	for id, text := range v.Tokens {
		if len(v.Types) > 0 && v.Types[id] == controlType && strings.HasPrefix(text, "<|") &&
			slices.Contains(stopTokens, text) && !slices.Contains(c.EOS, id) && len(c.EOS) < maxEOS {
			c.EOS = append(c.EOS, id)
		}
	}
	slices.Sort(c.EOS)
	return nil
}
