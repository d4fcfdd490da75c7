package weights

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenizerFiles(t *testing.T) {
	base := map[string][]byte{"config.json": configJSON(tinyConfig, ""), "model.safetensors": safetensorsFile(hfTensors(tinyConfig, "F32"))}
	const jsonText, modelText = ` {"model": {}}`, "\x0a\x05sentencepiece"
	vocabulary := tinyGGUF(0)
	vocabulary.tensors = nil
	for _, tt := range []struct {
		name             string
		beside, above    map[string]string
		explicit         string // below the folder above
		path, kind, want string // kind: json, model, gguf, "" none, or an error kind with want
		template         string
	}{
		{name: "none"},
		{name: "json beside", beside: map[string]string{"tokenizer.json": jsonText}, path: "m/tokenizer.json", kind: "json"},
		{name: "model beside", beside: map[string]string{"tokenizer.model": modelText}, path: "m/tokenizer.model", kind: "model"},
		{name: "json first", beside: map[string]string{"tokenizer.json": jsonText, "tokenizer.model": modelText}, path: "m/tokenizer.json", kind: "json"},
		{name: "explicit", beside: map[string]string{"tokenizer.json": jsonText, "tokenizer.model": modelText}, explicit: "m/tokenizer.model", path: "m/tokenizer.model", kind: "model"},
		{name: "explicit folder", above: map[string]string{"tok/tokenizer.model": modelText}, explicit: "tok", path: "tok/tokenizer.model", kind: "model"},
		{name: "explicit folder without", above: map[string]string{"tok/x": ""}, explicit: "tok", kind: string(KindMissingFile), want: "no tokenizer.json or tokenizer.model found in "},
		{name: "explicit absent", explicit: "x.json", kind: string(KindMissingFile), want: "/x.json' does not exist."},
		{name: "above", above: map[string]string{"tokenizer.model": modelText}, path: "tokenizer.model", kind: "model"},
		{name: "beside before above", beside: map[string]string{"tokenizer.json": jsonText}, above: map[string]string{"tokenizer.model": modelText}, path: "m/tokenizer.json", kind: "json"},
		{name: "by content", beside: map[string]string{"tokenizer.model": jsonText}, path: "m/tokenizer.model", kind: "json"},
		{name: "a GGUF's vocabulary", above: map[string]string{"v.gguf": string(vocabulary.bytes())}, explicit: "v.gguf", path: "v.gguf", kind: "gguf", template: "{{ x }}"},
		{name: "a broken GGUF", above: map[string]string{"v.gguf": "GGUF\x03"}, explicit: "v.gguf", kind: string(KindTokenizer), want: "v.gguf: byte 4: version of 4 bytes"},
		{name: "a GGUF without", above: map[string]string{"v.gguf": string(ggufFile{}.bytes())}, explicit: "v.gguf", kind: string(KindTokenizer), want: "has no vocabulary"},
		{name: "template", beside: map[string]string{"tokenizer_config.json": `{"a": [{}], "chat_template": "T\u00e9", "model_max_length": 1000000000000000019884624838656}`}, template: "Té"},
		{name: "named templates", beside: map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "tool_use", "template": "U"}, {"name": "default", "template": "D"}]}`}, template: "D"},
		{name: "no default among them", beside: map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "tool_use", "template": "U"}]}`}},
		{name: "null template", beside: map[string]string{"tokenizer_config.json": `{"chat_template": null}`}},
		{name: "jinja file first", beside: map[string]string{"tokenizer_config.json": `{"chat_template": "T"}`, "chat_template.jinja": "J"}, template: "J"},
		{name: "template beside the tokenizer", above: map[string]string{"tok/tokenizer.json": jsonText, "tok/tokenizer_config.json": `{"chat_template": "T"}`}, explicit: "tok/tokenizer.json", path: "tok/tokenizer.json", kind: "json", template: "T"},
		{name: "template a number", beside: map[string]string{"tokenizer_config.json": `{"chat_template": 1}`}, kind: string(KindTokenizer), want: "chat_template: is 1, expected a string"},
		{name: "template twice", beside: map[string]string{"tokenizer_config.json": `{"chat_template": "a", "chat_template": "b"}`}, kind: string(KindTokenizer), want: `duplicate key "chat_template"`},
		{name: "template too long", beside: map[string]string{"tokenizer_config.json": `{"chat_template": "` + strings.Repeat("x", maxTemplateBytes+1) + `"}`}, kind: string(KindTokenizer), want: "at most 1048576 are allowed"},
		{name: "jinja too long", beside: map[string]string{"chat_template.jinja": strings.Repeat("x", maxTemplateBytes+1)}, kind: string(KindTokenizer), want: "has 1048577 bytes, at most 1048576"},
		{name: "broken tokenizer_config", beside: map[string]string{"tokenizer_config.json": `{`}, kind: string(KindTokenizer), want: "tokenizer_config.json: byte 1: the JSON ends"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string][]byte{}
			for name, data := range base {
				files["m/"+name] = data
			}
			for name, text := range tt.beside {
				files["m/"+name] = []byte(text)
			}
			for name, text := range tt.above {
				files[name] = []byte(text)
			}
			dir := folderOf(t, files)
			opt := Options{}
			if tt.explicit != "" {
				opt.TokenizerPath = filepath.Join(dir, tt.explicit)
			}
			c, err := Open(context.Background(), filepath.Join(dir, "m"), opt)
			if tt.want != "" {
				refused(t, err, ErrorKind(tt.kind), tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got := ""
			switch tok := c.Tokenizer; {
			case tok.JSON != nil && string(tok.JSON) == jsonText:
				got = "json"
			case tok.Model != nil && string(tok.Model) == modelText:
				got = "model"
			case tok.GGUF != nil:
				got = "gguf"
			}
			path := tt.path
			if path != "" {
				path = filepath.Join(dir, path)
			}
			if got != tt.kind || c.Tokenizer.Path != path || c.ChatTemplate != tt.template {
				t.Errorf("tokenizer %q of kind %q, template %q; expected %q, %q, %q", c.Tokenizer.Path, got, c.ChatTemplate, path, tt.kind, tt.template)
			}
		})
	}
}

func TestGGUFTokenizer(t *testing.T) {
	without := tinyGGUF(0).set(ggufKV{"tokenizer.ggml.tokens", nil}, ggufKV{"tokenizer.ggml.eos_token_id", nil})
	own := folderOf(t, map[string][]byte{"m.gguf": tinyGGUF(0).bytes(), "tokenizer.json": []byte("{}")})
	if c := mustOpen(t, own, Options{}); c.Tokenizer.GGUF == nil || c.Tokenizer.JSON != nil {
		t.Error("a GGUF file's own vocabulary was not taken")
	}
	if c := mustOpen(t, own, Options{TokenizerPath: filepath.Join(own, "tokenizer.json")}); c.Tokenizer.GGUF != nil || c.Tokenizer.JSON == nil {
		t.Error("an explicit tokenizer was not taken before the GGUF file's own")
	}
	beside := folderOf(t, map[string][]byte{"m.gguf": without.bytes(), "tokenizer.json": []byte("{}")})
	if c := mustOpen(t, beside, Options{}); c.Tokenizer.JSON == nil {
		t.Error("the tokenizer beside a GGUF file without vocabulary was not taken")
	}
}

// TestVocabDefaults has what absent keys mean.
func TestVocabDefaults(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		change                   []ggufKV
		addBOS, addEOS, addSpace bool
	}{
		{"byte level", nil, false, false, false},
		{"Llama 3's", []ggufKV{{"tokenizer.ggml.pre", strValue("llama-bpe")}}, true, false, false},
		{"Llama 3's, told otherwise", []ggufKV{{"tokenizer.ggml.pre", strValue("llama-bpe")}, {"tokenizer.ggml.add_bos_token", boolValue(0)}}, false, false, false},
		{"SentencePiece", []ggufKV{{"tokenizer.ggml.model", strValue("llama")}}, true, false, true},
		{"told", []ggufKV{{"tokenizer.ggml.add_bos_token", boolValue(1)}, {"tokenizer.ggml.add_eos_token", boolValue(1)}, {"tokenizer.ggml.add_space_prefix", boolValue(1)}}, true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := parseGGUF(tinyGGUF(0).set(tt.change...).bytes())
			if err != nil {
				t.Fatal(err)
			}
			v, err := g.vocab()
			if err != nil {
				t.Fatal(err)
			}
			if v.AddBOS != tt.addBOS || v.AddEOS != tt.addEOS || v.AddSpacePrefix != tt.addSpace || v.BOS != -1 || v.UNK != -1 || v.EOS != 2 {
				t.Errorf("%+v", v)
			}
		})
	}
}
