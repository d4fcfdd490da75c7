package weights

import (
	"strconv"
	"strings"
)

// Naming is the family of names that a checkpoint uses for its tensors.
type Naming uint8

const (
	// AnyNaming is for names that several families share: "output.weight" is
	// Meta's and GGUF's, "norm.weight" is Meta's and Hugging Face's without
	// its "model." prefix.
	AnyNaming Naming = iota
	HF
	Meta
	GGUF
)

func (n Naming) String() string {
	return [...]string{"any", "Hugging Face", "Meta", "GGUF"}[n&3]
}

// nameRow is one tensor in the three namings. In a layer's row the names follow
// the layer's prefix.
type nameRow struct{ hf, meta, gguf string }

var modelNames = [...]nameRow{
	{"model.embed_tokens.weight", "tok_embeddings.weight", "token_embd.weight"},
	{"model.norm.weight", "norm.weight", "output_norm.weight"},
	{"lm_head.weight", "output.weight", "output.weight"},
}

var layerNames = [...]nameRow{
	{"self_attn.q_proj.weight", "attention.wq.weight", "attn_q.weight"},
	{"self_attn.k_proj.weight", "attention.wk.weight", "attn_k.weight"},
	{"self_attn.v_proj.weight", "attention.wv.weight", "attn_v.weight"},
	{"self_attn.o_proj.weight", "attention.wo.weight", "attn_output.weight"},
	{"mlp.gate_proj.weight", "feed_forward.w1.weight", "ffn_gate.weight"},
	{"mlp.down_proj.weight", "feed_forward.w2.weight", "ffn_down.weight"},
	{"mlp.up_proj.weight", "feed_forward.w3.weight", "ffn_up.weight"},
	{"input_layernorm.weight", "attention_norm.weight", "attn_norm.weight"},
	{"post_attention_layernorm.weight", "ffn_norm.weight", "ffn_norm.weight"},
}

// layerPrefix is what stands before the layer's number.
var layerPrefix = nameRow{"model.layers.", "layers.", "blk."}

// wrappers are prefixes that training frameworks put before a name.
var wrappers = []string{"module.", "_orig_mod.", "language_model."}

// CanonicalName maps a tensor's name in any naming to Hugging Face's. Prefixes
// of training wrappers are stripped, and a missing "model." is accepted. ok is
// false for names that no Llama has.
func CanonicalName(name string) (canonical string, naming Naming, ok bool) {
	name = stripWrappers(name)
	for _, r := range modelNames {
		bare := strings.TrimPrefix(r.hf, "model.")
		switch name {
		case r.meta:
			if r.meta == r.gguf || r.meta == bare {
				return r.hf, AnyNaming, true
			}
			return r.hf, Meta, true
		case r.hf, bare:
			return r.hf, HF, true
		case r.gguf:
			return r.hf, GGUF, true
		}
	}
	prefix, rest := layerPrefix.gguf, strings.TrimPrefix(name, layerPrefix.gguf)
	if rest == name {
		prefix, rest = layerPrefix.hf, strings.TrimPrefix(strings.TrimPrefix(name, "model."), layerPrefix.meta)
	}
	number, part, found := strings.Cut(rest, ".")
	if !found || !layerNumber(number) || rest == name {
		return "", AnyNaming, false
	}
	for _, r := range layerNames {
		canonical = layerPrefix.hf + number + "." + r.hf
		switch {
		case prefix == layerPrefix.gguf && part == r.gguf:
			return canonical, GGUF, true
		case prefix == layerPrefix.hf && part == r.hf:
			return canonical, HF, true
		case prefix == layerPrefix.hf && part == r.meta:
			return canonical, Meta, true
		}
	}
	return "", AnyNaming, false
}

func stripWrappers(name string) string {
	for again := true; again; {
		again = false
		for _, w := range wrappers {
			if rest, ok := strings.CutPrefix(name, w); ok {
				name, again = rest, true
			}
		}
	}
	return name
}

// layerNumber reports whether s is a layer's number as every naming writes it:
// decimal, no sign, no leading zero.
func layerNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n < maxLayers && strconv.Itoa(n) == s
}

// MetaName is Meta's name of a canonical one, or "".
func MetaName(canonical string) string {
	return rename(canonical, func(r nameRow) string { return r.meta })
}

// GGUFName is GGUF's name of a canonical one, or "".
func GGUFName(canonical string) string {
	return rename(canonical, func(r nameRow) string { return r.gguf })
}

func rename(canonical string, pick func(nameRow) string) string {
	for _, r := range modelNames {
		if canonical == r.hf {
			return pick(r)
		}
	}
	rest, ok := strings.CutPrefix(canonical, layerPrefix.hf)
	number, part, found := strings.Cut(rest, ".")
	if !ok || !found || !layerNumber(number) {
		return ""
	}
	for _, r := range layerNames {
		if part == r.hf {
			return pick(layerPrefix) + number + "." + pick(r)
		}
	}
	return ""
}

// Ignorable reports whether a tensor of this name may lie in a checkpoint or a
// state dict and be left alone: tables of RoPE frequencies, which follow from
// the config.
func Ignorable(name string) bool {
	name = stripWrappers(name)
	return name == "rope.freqs" ||
		strings.HasSuffix(name, ".inner_attention.rope.freqs") ||
		strings.HasSuffix(name, "rotary_emb.inv_freq")
}

// TensorShape is a tensor that a config implies.
type TensorShape struct {
	Name  string // canonical
	Shape []int  // outermost first
}

// TensorShapes lists the tensors that a valid config implies, in the order in
// which Hugging Face writes them; lm_head is absent when it is tied.
func TensorShapes(c Config) []TensorShape {
	var (
		h     = c.HiddenSize
		ffn   = c.IntermediateSize
		q     = c.NumAttentionHeads * c.HeadDim
		kv    = c.NumKeyValueHeads * c.HeadDim
		shape = [len(layerNames)][]int{{q, h}, {kv, h}, {kv, h}, {h, q}, {ffn, h}, {h, ffn}, {ffn, h}, {h}, {h}}
	)
	all := make([]TensorShape, 0, len(layerNames)*c.NumHiddenLayers+len(modelNames))
	all = append(all, TensorShape{"model.embed_tokens.weight", []int{c.VocabSize, h}})
	for i := range c.NumHiddenLayers {
		prefix := layerPrefix.hf + strconv.Itoa(i) + "."
		for j, r := range layerNames {
			all = append(all, TensorShape{prefix + r.hf, shape[j]})
		}
	}
	all = append(all, TensorShape{"model.norm.weight", []int{h}})
	if !c.TieWordEmbeddings {
		all = append(all, TensorShape{"lm_head.weight", []int{c.VocabSize, h}})
	}
	return all
}
