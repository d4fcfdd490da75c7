package weights

import (
	"slices"
	"testing"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct{ hf, meta, gguf string }{
		{"model.embed_tokens.weight", "tok_embeddings.weight", "token_embd.weight"},
		{"model.norm.weight", "norm.weight", "output_norm.weight"},
		{"lm_head.weight", "output.weight", "output.weight"},
		{"model.layers.0.self_attn.q_proj.weight", "layers.0.attention.wq.weight", "blk.0.attn_q.weight"},
		{"model.layers.1.self_attn.k_proj.weight", "layers.1.attention.wk.weight", "blk.1.attn_k.weight"},
		{"model.layers.2.self_attn.v_proj.weight", "layers.2.attention.wv.weight", "blk.2.attn_v.weight"},
		{"model.layers.3.self_attn.o_proj.weight", "layers.3.attention.wo.weight", "blk.3.attn_output.weight"},
		{"model.layers.10.mlp.gate_proj.weight", "layers.10.feed_forward.w1.weight", "blk.10.ffn_gate.weight"},
		{"model.layers.11.mlp.down_proj.weight", "layers.11.feed_forward.w2.weight", "blk.11.ffn_down.weight"},
		{"model.layers.12.mlp.up_proj.weight", "layers.12.feed_forward.w3.weight", "blk.12.ffn_up.weight"},
		{"model.layers.13.input_layernorm.weight", "layers.13.attention_norm.weight", "blk.13.attn_norm.weight"},
		{"model.layers.14.post_attention_layernorm.weight", "layers.14.ffn_norm.weight", "blk.14.ffn_norm.weight"},
	} {
		if got := MetaName(tt.hf); got != tt.meta {
			t.Errorf("MetaName(%s) = %s, expected %s", tt.hf, got, tt.meta)
		}
		if got := GGUFName(tt.hf); got != tt.gguf {
			t.Errorf("GGUFName(%s) = %s, expected %s", tt.hf, got, tt.gguf)
		}
		for _, n := range []struct {
			name   string
			naming Naming
		}{{tt.hf, HF}, {tt.meta, Meta}, {tt.gguf, GGUF}} {
			for _, prefix := range []string{"", "module.", "_orig_mod.module.", "language_model."} {
				got, naming, ok := CanonicalName(prefix + n.name)
				if !ok || got != tt.hf || naming != n.naming && naming != AnyNaming {
					t.Errorf("CanonicalName(%s) = %s, %v, %t; expected %s, %v", prefix+n.name, got, naming, ok, tt.hf, n.naming)
				}
			}
		}
	}
	for _, tt := range []struct {
		name, want string
		naming     Naming
	}{
		{"embed_tokens.weight", "model.embed_tokens.weight", HF},
		{"layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_proj.weight", HF},
		{"norm.weight", "model.norm.weight", AnyNaming},
		{"output.weight", "lm_head.weight", AnyNaming},
	} {
		if got, naming, ok := CanonicalName(tt.name); !ok || got != tt.want || naming != tt.naming {
			t.Errorf("CanonicalName(%s) = %s, %v, %t", tt.name, got, naming, ok)
		}
	}
	for _, name := range []string{"", "weight", "model.", "layers", "layers.", "layers.0", "layers.0.", "layers..attention.wq.weight",
		"layers.-1.attention.wq.weight", "layers.+1.attention.wq.weight", "layers.01.attention.wq.weight", "layers.0x1.attention.wq.weight",
		"layers.99999999999999999999.attention.wq.weight", "layers.1024.attention.wq.weight", "0.self_attn.q_proj.weight",
		"blk.0.attention.wq.weight", "layers.0.attn_q.weight", "model.layers.0.self_attn.q_proj.bias", "blk.0.self_attn.q_proj.weight"} {
		if got, naming, ok := CanonicalName(name); ok {
			t.Errorf("CanonicalName(%q) = %s, %v; expected none", name, got, naming)
		}
	}
	for _, name := range []string{"", "lm_head.bias", "model.layers.0.x", "model.layers.x.input_layernorm.weight", "layers.0.attention.wq.weight"} {
		if MetaName(name) != "" || GGUFName(name) != "" {
			t.Errorf("%q has names %q, %q", name, MetaName(name), GGUFName(name))
		}
	}
	for name, want := range map[string]bool{"rope.freqs": true, "module.rope.freqs": true, "layers.0.attention.inner_attention.rope.freqs": true,
		"model.layers.3.self_attn.rotary_emb.inv_freq": true, "model.rotary_emb.inv_freq": true, "freqs": false, "model.norm.weight": false} {
		if Ignorable(name) != want {
			t.Errorf("Ignorable(%q) = %t", name, !want)
		}
	}
}

func TestTensorShapes(t *testing.T) {
	c := tinyConfig
	c.HiddenSize, c.IntermediateSize, c.HeadDim = 24, 40, 16 // heads wider than the model
	want := map[string][]int{
		"model.embed_tokens.weight":                      {8, 24},
		"model.layers.1.self_attn.q_proj.weight":         {64, 24},
		"model.layers.1.self_attn.k_proj.weight":         {32, 24},
		"model.layers.1.self_attn.v_proj.weight":         {32, 24},
		"model.layers.1.self_attn.o_proj.weight":         {24, 64},
		"model.layers.1.mlp.gate_proj.weight":            {40, 24},
		"model.layers.1.mlp.up_proj.weight":              {40, 24},
		"model.layers.1.mlp.down_proj.weight":            {24, 40},
		"model.layers.1.input_layernorm.weight":          {24},
		"model.layers.1.post_attention_layernorm.weight": {24},
		"model.norm.weight":                              {24},
		"lm_head.weight":                                 {8, 24},
	}
	all := TensorShapes(c)
	if len(all) != 21 {
		t.Errorf("%d tensors, expected 21", len(all))
	}
	for _, s := range all {
		if w, ok := want[s.Name]; ok && !slices.Equal(s.Shape, w) {
			t.Errorf("%s is %v, expected %v", s.Name, s.Shape, w)
		}
		delete(want, s.Name)
	}
	if len(want) != 0 {
		t.Errorf("missing %v", want)
	}
	c.TieWordEmbeddings = true
	if n := len(TensorShapes(c)); n != 20 {
		t.Errorf("%d tensors when tied, expected 20", n)
	}
}

func TestMemory(t *testing.T) {
	view := func(name string, b byte) View {
		return View{Name: name, DType: F16, Shape: []int{1}, Data: []byte{b, 0}}
	}
	a := NewMemory([]View{view("x", 1), view("y", 2)}, Interleaved)
	b := a.With(map[string]View{"y": view("y", 3), "z": view("z", 4)})
	get := func(s Source, name string) int {
		v, ok := s.Tensor(name)
		if !ok {
			return -1
		}
		return int(v.Data[0])
	}
	for _, tt := range []struct {
		s       Source
		x, y, z int
	}{{a, 1, 2, -1}, {b, 1, 3, -1}} {
		if get(tt.s, "x") != tt.x || get(tt.s, "y") != tt.y || get(tt.s, "z") != tt.z {
			t.Errorf("x %d, y %d, z %d; expected %d, %d, %d", get(tt.s, "x"), get(tt.s, "y"), get(tt.s, "z"), tt.x, tt.y, tt.z)
		}
		if !slices.Equal(tt.s.Names(), []string{"x", "y"}) || tt.s.QKOrder() != Interleaved || tt.s.RopeFactors() != nil || tt.s.Close() != nil {
			t.Errorf("names %v", tt.s.Names())
		}
	}
	twice := NewMemory([]View{view("x", 1), view("y", 2), view("x", 5)}, Halves)
	if !slices.Equal(twice.Names(), []string{"x", "y"}) || get(twice, "x") != 5 {
		t.Errorf("names %v, x %d", twice.Names(), get(twice, "x"))
	}
}
