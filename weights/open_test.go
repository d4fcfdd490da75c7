package weights

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/internal/testdata"
)

func TestOpenSmolLM2(t *testing.T) {
	path := testdata.SmolLM2(t)
	c := mustOpen(t, path, Options{})
	want := Config{Architecture: "llama", HiddenSize: 576, IntermediateSize: 1536, NumHiddenLayers: 30, NumAttentionHeads: 9,
		NumKeyValueHeads: 3, HeadDim: 64, VocabSize: 49152, MaxPositionEmbeddings: 8192, RMSNormEps: float64(float32(1e-5)),
		RopeTheta: 100000, TieWordEmbeddings: true, BOS: 1, EOS: []int{0, 2}, DType: "Q4_1"}
	if !reflect.DeepEqual(c.Config, want) {
		t.Errorf("config %+v\nexpected %+v", c.Config, want)
	}
	if c.Bytes != 98362432 {
		t.Errorf("%d bytes, expected 98362432", c.Bytes)
	}
	types := map[DType]int{}
	for _, name := range c.Names() {
		v, _ := c.Tensor(name)
		types[v.DType]++
	}
	if !reflect.DeepEqual(types, map[DType]int{Q4_1: 210, F32: 61, Q8_0: 1}) {
		t.Errorf("types %v, expected 210 Q4_1, 61 F32, 1 Q8_0", types)
	}
	emb, _ := c.Tensor("model.embed_tokens.weight")
	if emb.DType != Q8_0 || !slices.Equal(emb.Shape, []int{49152, 576}) || len(emb.Data) != 49152*576/32*34 || emb.Name != "token_embd.weight" {
		t.Errorf("embedding %s %v of %d bytes named %q", emb.DType, emb.Shape, len(emb.Data), emb.Name)
	}
	if _, ok := c.Tensor("lm_head.weight"); ok {
		t.Error("a tied lm_head is there")
	}
	if !slices.Equal(c.EOS, []int{0, 2}) || c.Format != "gguf" || c.Bytes != 98362432 || c.QKOrder() != Interleaved {
		t.Errorf("EOS %v, format %s, %d bytes, order %d", c.EOS, c.Format, c.Bytes, c.QKOrder())
	}
	v := c.Tokenizer.GGUF
	if v == nil || v.Model != "gpt2" || v.Pre != "smollm" || len(v.Tokens) != 49152 || len(v.Merges) != 48900 || len(v.Types) != 49152 {
		t.Fatalf("vocabulary %+.200v", v)
	}
	if v.Tokens[2] != "<|im_end|>" || v.Merges[0] != "Ġ t" || v.AddBOS || v.AddSpacePrefix || v.BOS != 1 || v.EOS != 2 || v.UNK != 0 {
		t.Errorf("vocabulary: token 2 %q, merge 0 %q, bos %d, eos %d", v.Tokens[2], v.Merges[0], v.BOS, v.EOS)
	}
	if !strings.Contains(c.ChatTemplate, "You are a helpful AI assistant named SmolLM") {
		t.Errorf("chat template %q", c.ChatTemplate)
	}
}

func TestOpenStories(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "stories260k")
	c := mustOpen(t, filepath.Join(dir, "hf_f32"), Options{})
	want := Config{Architecture: "llama", HiddenSize: 64, IntermediateSize: 172, NumHiddenLayers: 5, NumAttentionHeads: 8,
		NumKeyValueHeads: 4, HeadDim: 8, VocabSize: 512, MaxPositionEmbeddings: 512, RMSNormEps: 1e-5, RopeTheta: 10000,
		TieWordEmbeddings: true, BOS: 1, EOS: []int{2}, DType: "float32"}
	if !reflect.DeepEqual(c.Config, want) {
		t.Errorf("config %+v\nexpected %+v", c.Config, want)
	}
	if c.QKOrder() != Halves || len(c.Warnings) != 0 || c.Tokenizer.JSON == nil || c.Tokenizer.Model != nil || c.Tokenizer.GGUF != nil {
		t.Errorf("order %d, warnings %v, tokenizer %q", c.QKOrder(), c.Warnings, c.Tokenizer.Path)
	}
	// The llama2.c file of the same model starts its weights with the embedding.
	raw, err := os.ReadFile(filepath.Join(dir, "stories260K.bin"))
	if err != nil {
		t.Fatal(err)
	}
	emb, _ := c.Tensor("model.embed_tokens.weight")
	if !bytes.Equal(emb.Data, raw[28:28+512*64*4]) {
		t.Error("the embedding's bytes differ from llama2.c's")
	}
	byModel := mustOpen(t, filepath.Join(dir, "hf_f32"), Options{TokenizerPath: filepath.Join(dir, "hf_f32", "tokenizer.model")})
	if byModel.Tokenizer.Model == nil || byModel.Tokenizer.JSON != nil {
		t.Error("an explicit tokenizer.model was not taken")
	}
}

// TestVocabularies reads llama.cpp's vocabulary files.
func TestVocabularies(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "vocab")
	for _, tt := range []struct {
		file, model                string
		tokens, merges, bos, eos   int
		addBOS, addSpace, template bool
	}{
		{"ggml-vocab-gpt-2.gguf", "gpt2", 50257, 50000, 50256, 50256, false, false, false},
		{"ggml-vocab-llama-spm.gguf", "llama", 32000, 0, 1, 2, true, true, false},
		{"ggml-vocab-phi-3.gguf", "llama", 32064, 0, 1, 32000, true, true, true},
	} {
		t.Run(tt.file, func(t *testing.T) {
			tok, template, err := OpenTokenizer(filepath.Join(dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			v := tok.GGUF
			if v.Model != tt.model || len(v.Tokens) != tt.tokens || len(v.Merges) != tt.merges || v.BOS != tt.bos || v.EOS != tt.eos ||
				v.AddBOS != tt.addBOS || v.AddSpacePrefix != tt.addSpace || (template != "") != tt.template {
				t.Errorf("model %s, %d tokens, %d merges, bos %d, eos %d, add %t %t, template %q", v.Model, len(v.Tokens), len(v.Merges), v.BOS, v.EOS, v.AddBOS, v.AddSpacePrefix, template)
			}
		})
	}
	_, err := Open(context.Background(), filepath.Join(dir, "ggml-vocab-gpt-2.gguf"), Options{})
	refused(t, err, KindConfig, `general.architecture: is "gpt2", only "llama" is supported`)
	_, err = Open(context.Background(), filepath.Join(dir, "ggml-vocab-llama-spm.gguf"), Options{})
	refused(t, err, KindCheckpoint, `tensor "token_embd.weight": is missing`)
}

func TestOpenGGUFTypes(t *testing.T) {
	for id, typ := range ggmlTypes {
		t.Run(typ.name, func(t *testing.T) {
			wide := tinyConfig // whole blocks of every type
			wide.HiddenSize, wide.IntermediateSize, wide.HeadDim = 256, 256, 64
			dir := folderOf(t, map[string][]byte{"m.gguf": ggufOf(wide, id).bytes()})
			c, err := Open(context.Background(), dir, Options{})
			if typ.dtype == 0 {
				refused(t, err, KindCheckpoint, "token_embd.weight", "is "+typ.name, "supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			v, ok := c.Tensor("model.layers.1.mlp.down_proj.weight")
			if want := 256 * 256 / typ.dtype.BlockSize() * typ.dtype.BlockBytes(); !ok || v.DType != typ.dtype || len(v.Data) != want {
				t.Errorf("%v has type %s and %d bytes, expected %d", v.Shape, v.DType, len(v.Data), want)
			}
			if !slices.Equal(c.EOS, []int{0, 2}) || c.ChatTemplate != "{{ x }}" || !c.Config.TieWordEmbeddings {
				t.Errorf("EOS %v (control tokens alone count), template %q", c.EOS, c.ChatTemplate)
			}
		})
	}
}

// TestViewBytes writes a value into each tensor and finds it there.
func TestViewBytes(t *testing.T) {
	file := safetensorsFile(hfTensors(tinyConfig, "F32"))
	n := binary.LittleEndian.Uint64(file)
	body := file[8+n:]
	at := 0
	for i, s := range TensorShapes(tinyConfig) {
		binary.LittleEndian.PutUint32(body[at:], math.Float32bits(float32(i+1)))
		at += 4 * product(s.Shape)
	}
	c := mustOpen(t, folderOf(t, map[string][]byte{"config.json": configJSON(tinyConfig, ""), "model.safetensors": file}), Options{})
	for i, s := range TensorShapes(tinyConfig) {
		v, ok := c.Tensor(s.Name)
		if !ok || !slices.Equal(v.Shape, s.Shape) || len(v.Data) != 4*product(s.Shape) {
			t.Fatalf("%s: %v of %d bytes", s.Name, v.Shape, len(v.Data))
		}
		if got := math.Float32frombits(binary.LittleEndian.Uint32(v.Data)); got != float32(i+1) {
			t.Errorf("%s starts with %v, expected %d", s.Name, got, i+1)
		}
		if c.Names()[i] != s.Name {
			t.Errorf("name %d is %s, expected file order", i, c.Names()[i])
		}
	}
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func TestOpenNotThere(t *testing.T) {
	empty := t.TempDir()
	tiny := safetensorsFile(hfTensors(tinyConfig, "F32"))
	for _, tt := range []struct {
		name, path string
		opt        Options
		kind       ErrorKind
		want       string // the whole text
	}{
		{"folder", empty + "/none", Options{}, KindMissingFile, "Checkpoint directory '" + empty + "/none' does not exist."},
		{"nothing named", "", Options{}, KindMissingFile, "Checkpoint directory '' does not exist."},
		{"below a file", filepath.Join(folderOf(t, map[string][]byte{"f": nil}), "f", "x"), Options{}, KindMissingFile, ""},
		{"weights", empty, Options{}, KindMissingFile, "no checkpoint files found in " + empty},
		{"config", folderOf(t, map[string][]byte{"model.safetensors": tiny}), Options{}, KindMissingFile, ""},
		{"tokenizer", folderOf(t, map[string][]byte{"model.safetensors": tiny, "config.json": configJSON(tinyConfig, "")}),
			Options{TokenizerPath: "no/tok.model"}, KindMissingFile, "Tokenizer file 'no/tok.model' does not exist."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(context.Background(), tt.path, tt.opt)
			refused(t, err, tt.kind, "")
			if tt.want != "" && err.Error() != tt.want {
				t.Errorf("error %q\nexpected %q", err, tt.want)
			}
		})
	}
}

func TestOpenFolderChoice(t *testing.T) {
	config := configJSON(tinyConfig, "")
	tiny := safetensorsFile(hfTensors(tinyConfig, "F32"))
	gguf := tinyGGUF(0).bytes()
	for _, tt := range []struct {
		name   string
		files  map[string][]byte
		format string // or, with kind, the error
		kind   ErrorKind
	}{
		{"model.safetensors wins", map[string][]byte{"config.json": config, "model.safetensors": tiny, "other.safetensors": nil, "m.gguf": gguf}, "safetensors", ""},
		{"one of another name", map[string][]byte{"config.json": config, "weights.safetensors": tiny}, "safetensors", ""},
		{"adapters do not count", map[string][]byte{"config.json": config, "weights.safetensors": tiny, "adapter_model.safetensors": nil}, "safetensors", ""},
		{"one GGUF", map[string][]byte{"m.gguf": gguf, "README.md": nil}, "gguf", ""},
		{"two GGUF", map[string][]byte{"a.gguf": gguf, "b.gguf": gguf}, "has 2 GGUF files: a.gguf, b.gguf; expected one", KindCheckpoint},
		{"shards without index", map[string][]byte{"config.json": config, "a.safetensors": tiny, "b.safetensors": tiny}, "no model.safetensors.index.json", KindMissingFile},
		{"two indexes", map[string][]byte{"config.json": config, "a.safetensors.index.json": nil, "b.safetensors.index.json": nil}, "has 2 indexes", KindCheckpoint},
		{"Meta's", map[string][]byte{"params.json": []byte(`{"dim": 32}`), "consolidated.00.pth": nil}, "consolidated.00.pth: PyTorch pickle weights are not supported", KindCheckpoint},
		{"bin", map[string][]byte{"config.json": config, "pytorch_model.bin": nil}, "pytorch_model.bin: PyTorch pickle weights are not supported", KindCheckpoint},
		{"GGUF by content", map[string][]byte{"config.json": config, "model.safetensors": gguf}, "gguf", ""},
		{"zip by content", map[string][]byte{"config.json": config, "model.safetensors": []byte("PK\x03\x04 and more than that")}, "PyTorch pickle", KindCheckpoint},
		{"text", map[string][]byte{"config.json": config, "model.safetensors": []byte("version https://git-lfs.github.com/spec/v1")}, "expected a GGUF or safetensors file", KindCheckpoint},
		{"empty", map[string][]byte{"config.json": config, "model.safetensors": nil}, "is empty", KindCheckpoint},
		{"empty GGUF", map[string][]byte{"m.gguf": nil}, "is empty", KindCheckpoint},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folderOf(t, tt.files)
			c, err := Open(context.Background(), dir, Options{})
			if tt.kind != "" {
				refused(t, err, tt.kind, tt.format)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Format != tt.format || c.Path != dir || len(c.Files) != 1 || c.Files[0] == dir {
				t.Errorf("format %s, path %s, files %v", c.Format, c.Path, c.Files)
			}
		})
	}
	t.Run("conversion hint", func(t *testing.T) {
		_, err := Open(context.Background(), folderOf(t, map[string][]byte{"consolidated.00.pth": nil}), Options{})
		if h, ok := err.(interface{ Hint() string }); !ok || !strings.Contains(h.Hint(), "save_pretrained") {
			t.Errorf("%v has no hint how to convert", err)
		}
	})
}

func TestOpenTensorRules(t *testing.T) {
	tied := tinyConfig
	tied.TieWordEmbeddings = true
	change := func(c Config, f func([]stTensor) []stTensor) map[string][]byte {
		return map[string][]byte{"config.json": configJSON(c, ""), "model.safetensors": safetensorsFile(f(hfTensors(tinyConfig, "F16")))}
	}
	same := func(l []stTensor) []stTensor { return l }
	without := func(name string) func([]stTensor) []stTensor {
		return func(l []stTensor) []stTensor {
			return slices.DeleteFunc(l, func(s stTensor) bool { return s.name == name })
		}
	}
	set := func(name, dtype string, shape ...int) func([]stTensor) []stTensor {
		return func(l []stTensor) []stTensor {
			for i := range l {
				if l[i].name == name {
					l[i] = stTensor{name, dtype, shape}
				}
			}
			return l
		}
	}
	add := func(s ...stTensor) func([]stTensor) []stTensor {
		return func(l []stTensor) []stTensor { return append(l, s...) }
	}
	rename := func(f func(string) string) func([]stTensor) []stTensor {
		return func(l []stTensor) []stTensor {
			for i := range l {
				l[i].name = f(l[i].name)
			}
			return l
		}
	}
	const q0 = "model.layers.0.self_attn.q_proj.weight"
	for _, tt := range []struct {
		name     string
		files    map[string][]byte
		want     string // error, or ""
		warnings int
	}{
		{"untied", change(tinyConfig, same), "", 0},
		{"tied wins over an lm_head", change(tied, same), "", 0},
		{"tied without lm_head", change(tied, without("lm_head.weight")), "", 0},
		{"lm_head missing", change(tinyConfig, without("lm_head.weight")), `tensor "lm_head.weight": is missing`, 0},
		{"tensor missing", change(tinyConfig, without(q0)), `tensor "` + q0 + `": is missing; the config implies one of shape [32 32]`, 0},
		{"wrong shape", change(tinyConfig, set(q0, "F16", 16, 32)), `has shape [16 32], the config implies [32 32]`, 0},
		{"transposed", change(tinyConfig, set("lm_head.weight", "F16", 32, 8)), `has shape [32 8], the config implies [8 32]`, 0},
		{"wrong rank", change(tinyConfig, set("model.norm.weight", "F16", 1, 32)), `has shape [1 32], the config implies [32]`, 0},
		{"wrong type", change(tinyConfig, set(q0, "I64", 32, 32)), `is I64, supported are F32`, 0},
		{"fp8", change(tinyConfig, set(q0, "F8_E4M3", 32, 32)), `is F8_E4M3, supported are F32`, 0},
		{"mixed types", change(tinyConfig, set(q0, "BF16", 32, 32)), "", 0},
		{"inv_freq is ignored", change(tinyConfig, add(stTensor{"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", []int{4}})), "", 0},
		{"extra of any type", change(tinyConfig, add(stTensor{"position_ids", "I64", []int{4}}, stTensor{"empty", "F32", []int{0, 4}}, stTensor{"scalar", "F64", nil})), "", 3},
		{"third layer", change(tinyConfig, add(stTensor{"model.layers.2.mlp.up_proj.weight", "F16", []int{32, 32}})), "", 1},
		{"without model.", change(tinyConfig, rename(func(s string) string { return strings.TrimPrefix(s, "model.") })), "", 0},
		{"wrapped", change(tinyConfig, rename(func(s string) string { return "module._orig_mod." + s })), "", 0},
		{"twice under two names", change(tinyConfig, add(stTensor{"module." + q0, "F16", []int{32, 32}})), `is the same as`, 0},
		{"two namings", change(tinyConfig, add(stTensor{"layers.0.attention.wq.weight", "F16", []int{32, 32}})), "is named as Meta does, others as Hugging Face", 0},
		{"Meta's names", change(tinyConfig, rename(MetaName)), "", 0},
		{"GGUF names", change(tinyConfig, rename(GGUFName)), "is missing", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Open(context.Background(), folderOf(t, tt.files), Options{})
			if tt.want != "" {
				refused(t, err, KindCheckpoint, tt.want, "model.safetensors")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if len(c.Warnings) != tt.warnings {
				t.Errorf("warnings %q, expected %d", c.Warnings, tt.warnings)
			}
			if _, ok := c.Tensor("lm_head.weight"); ok == c.Config.TieWordEmbeddings {
				t.Errorf("lm_head there: %t, tied: %t", ok, c.Config.TieWordEmbeddings)
			}
			if want := len(TensorShapes(c.Config)); len(c.Names()) != want {
				t.Errorf("%d names, expected %d", len(c.Names()), want)
			}
			if (c.QKOrder() == Interleaved) != (tt.name == "Meta's names") {
				t.Errorf("order %d", c.QKOrder())
			}
		})
	}
}

// TestOpenMetaParams opens Meta's names with a params.json that leaves the
// vocabulary open.
func TestOpenMetaParams(t *testing.T) {
	list := hfTensors(tinyConfig, "BF16")
	for i := range list {
		list[i].name = MetaName(list[i].name)
	}
	dir := folderOf(t, map[string][]byte{"consolidated.safetensors": safetensorsFile(list),
		"params.json": []byte(`{"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": -1, "multiple_of": 32, "ffn_dim_multiplier": 0.3}`)})
	c := mustOpen(t, dir, Options{})
	if c.Config.VocabSize != 8 || c.Config.IntermediateSize != 32 || c.Config.RMSNormEps != 1e-5 || c.QKOrder() != Interleaved || c.Config.DType != "bfloat16" {
		t.Errorf("%+v", c.Config)
	}
}

func TestEOS(t *testing.T) {
	weights := safetensorsFile(hfTensors(tinyConfig, "F32"))
	for _, tt := range []struct {
		name, config, generation string
		want                     []int
		err                      string
	}{
		{"generation config first", `"eos_token_id": 3,`, `{"eos_token_id": [1, 2]}`, []int{1, 2}, ""},
		{"one id", ``, `{"eos_token_id": 4, "temperature": 0.6}`, []int{4}, ""},
		{"config when it names none", `"eos_token_id": [3, 5],`, `{"do_sample": true}`, []int{3, 5}, ""},
		{"null", `"eos_token_id": 3,`, `{"eos_token_id": null}`, []int{3}, ""},
		{"no file", `"eos_token_id": 3,`, ``, []int{3}, ""},
		{"nobody", ``, ``, nil, ""},
		{"above the vocabulary", ``, `{"eos_token_id": 8}`, nil, "has 8, expected ids below vocab_size (8)"},
		{"negative", ``, `{"eos_token_id": -1}`, nil, "has -1, expected a token id"},
		{"text", ``, `{"eos_token_id": "2"}`, nil, `is "2", expected a token id`},
		{"broken", ``, `{"eos_token_id": `, nil, "the JSON ends"},
		{"twice", ``, `{"eos_token_id": 1, "eos_token_id": 2}`, nil, `duplicate key "eos_token_id"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string][]byte{"config.json": configJSON(tinyConfig, tt.config), "model.safetensors": weights}
			if tt.generation != "" {
				files["generation_config.json"] = []byte(tt.generation)
			}
			c, err := Open(context.Background(), folderOf(t, files), Options{})
			if tt.err != "" {
				refused(t, err, KindConfig, tt.err, "generation_config.json")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if !slices.Equal(c.EOS, tt.want) {
				t.Errorf("EOS %v, expected %v", c.EOS, tt.want)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	path := testdata.SmolLM2(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := Open(context.Background(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
