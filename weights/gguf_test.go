package weights

import (
	"context"
	"reflect"
	"slices"
	"testing"
)

// TestGGUFForms are good files that differ in form.
func TestGGUFForms(t *testing.T) {
	untied := tinyGGUF(0)
	untied.tensors = append(slices.Clone(untied.tensors), ggufTensor{name: "output.weight", dims: []uint64{32, 8}, typ: 8})
	factors := tinyGGUF(0)
	factors.tensors = append([]ggufTensor{{name: "rope_freqs.weight", dims: []uint64{4}}}, factors.tensors...)
	aligned := tinyGGUF(0).set(ggufKV{"general.alignment", u32Value(4096)})
	aligned.align = 4096
	packed := tinyGGUF(8).set(ggufKV{"general.alignment", u32Value(1)})
	packed.align = 1
	version2 := tinyGGUF(0)
	version2.version = 2
	keys := func(pairs ...ggufKV) ggufFile { return tinyGGUF(0).set(pairs...) }
	linear := RopeScaling{Type: "linear", Factor: 4}
	for _, tt := range []struct {
		name  string
		file  ggufFile
		ones  bool // fill the first tensor with F32 ones: RoPE factors
		check func(c *Checkpoint) bool
	}{
		{"v2", version2, false, func(c *Checkpoint) bool { return c.Config.TieWordEmbeddings }},
		{"untied", untied, false, func(c *Checkpoint) bool {
			v, ok := c.Tensor("lm_head.weight")
			return ok && v.DType == Q8_0 && !c.Config.TieWordEmbeddings
		}},
		{"alignment 4096", aligned, false, func(c *Checkpoint) bool { return len(c.Names()) == 20 }},
		{"alignment 1", packed, false, func(c *Checkpoint) bool { return c.Config.DType == "Q8_0" }},
		{"rope factors", factors, true, func(c *Checkpoint) bool {
			_, ok := c.Tensor("rope_freqs.weight")
			return !ok && slices.Equal(c.RopeFactors(), []float32{1, 1, 1, 1})
		}},
		{"no rope factors", tinyGGUF(0), false, func(c *Checkpoint) bool { return c.RopeFactors() == nil }},
		{"u64 and i32 integers", keys(ggufKV{"llama.block_count", u64Value(2)}, ggufKV{"llama.attention.head_count", i32Value(4)}), false, func(c *Checkpoint) bool { return c.Config.NumHiddenLayers == 2 }},
		{"equal values per layer", keys(ggufKV{"llama.attention.head_count_kv", i32sValue(2, 2)}), false, func(c *Checkpoint) bool { return c.Config.NumKeyValueHeads == 2 }},
		{"key_length", keys(ggufKV{"llama.attention.key_length", u32Value(8)}, ggufKV{"llama.attention.value_length", u32Value(8)}), false, func(c *Checkpoint) bool { return c.Config.HeadDim == 8 }},
		{"linear", keys(ggufKV{"llama.rope.scaling.type", strValue("linear")}, ggufKV{"llama.rope.scaling.factor", f32Value(4)}), false, func(c *Checkpoint) bool { return c.Config.RopeScaling == linear }},
		{"linear, older key", keys(ggufKV{"llama.rope.scale_linear", f32Value(4)}), false, func(c *Checkpoint) bool { return c.Config.RopeScaling == linear }},
		{"linear by 1", keys(ggufKV{"llama.rope.scaling.type", strValue("linear")}, ggufKV{"llama.rope.scaling.factor", f32Value(1)}), false, func(c *Checkpoint) bool { return c.Config.RopeScaling == RopeScaling{} }},
		{"scaling none", keys(ggufKV{"llama.rope.scaling.type", strValue("none")}), false, func(c *Checkpoint) bool { return c.Config.RopeScaling == RopeScaling{} }},
		{"no theta", keys(ggufKV{"llama.rope.freq_base", nil}), false, func(c *Checkpoint) bool { return c.Config.RopeTheta == 10000 }},
		{"no template, no vocabulary", keys(ggufKV{"tokenizer.chat_template", nil}, ggufKV{"tokenizer.ggml.tokens", nil}), false, func(c *Checkpoint) bool {
			return c.ChatTemplate == "" && c.EOS == nil && reflect.DeepEqual(c.Tokenizer, Tokenizer{})
		}},
		{"keys of all kinds", keys(ggufKV{"a", stringsValue("x", "")}, ggufKV{"b", boolValue(1)}, ggufKV{"c", f32sValue(1, 2)}, ggufKV{"d", arrayValue(kvBool, 0, nil)}), false, func(c *Checkpoint) bool { return true }},
		{"data after the tensors", ggufFile{}, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := tt.file.bytes()
			if tt.check == nil {
				data = append(tinyGGUF(0).bytes(), "more"...)
				tt.check = func(c *Checkpoint) bool { return true }
			}
			if tt.ones {
				at := len(data) - dataSize(t, data)
				for i := range 4 {
					copy(data[at+4*i:], []byte{0, 0, 0x80, 0x3f})
				}
			}
			c, err := Open(context.Background(), folderOf(t, map[string][]byte{"m.gguf": data}), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if !tt.check(c) {
				t.Errorf("config %+v, names %v, factors %v", c.Config, c.Names(), c.RopeFactors())
			}
		})
	}
}
