package weights

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// llama7 is what an empty Hugging Face config means.
var llama7 = Config{Architecture: "llama", HiddenSize: 4096, IntermediateSize: 11008, NumHiddenLayers: 32, NumAttentionHeads: 32,
	NumKeyValueHeads: 32, HeadDim: 128, VocabSize: 32000, MaxPositionEmbeddings: 2048, RMSNormEps: 1e-6, RopeTheta: 10000, BOS: -1}

func with(c Config, f func(*Config)) Config { f(&c); return c }

func TestParseConfig(t *testing.T) {
	meta := with(llama7, func(c *Config) { c.RMSNormEps = 1e-5 })
	llama3 := RopeScaling{"llama3", 32, 1, 4, 8192}
	for _, tt := range []struct {
		name, text string
		want       Config
		unknown    []string
	}{
		{"empty", `{}`, llama7, nil},
		{"Llama 3.2 1B, transformers v4", `{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
			"eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
			"intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
			"num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0,
			"high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
			"rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.45.0", "use_cache": true, "vocab_size": 128256}`,
			Config{Architecture: "llama", HiddenSize: 2048, IntermediateSize: 8192, NumHiddenLayers: 16, NumAttentionHeads: 32, NumKeyValueHeads: 8, HeadDim: 64,
				VocabSize: 128256, MaxPositionEmbeddings: 131072, RMSNormEps: 1e-5, RopeTheta: 500000, RopeScaling: llama3, TieWordEmbeddings: true,
				BOS: 128000, EOS: []int{128001, 128008, 128009}, DType: "bfloat16"}, nil},
		{"v5 dtype and rope_parameters", `{"dtype": "float16", "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32,
			"low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}}`,
			with(llama7, func(c *Config) { c.DType, c.RopeTheta, c.RopeScaling = "float16", 500000, llama3 }), nil},
		{"v5 default rope", `{"rope_parameters": {"rope_theta": 1000000, "rope_type": "default"}}`, with(llama7, func(c *Config) { c.RopeTheta = 1e6 }), nil},
		{"v5 and v4 agree", `{"rope_theta": 5e5, "rope_parameters": {"rope_theta": 500000.0}, "rope_scaling": null}`, with(llama7, func(c *Config) { c.RopeTheta = 5e5 }), nil},
		{"linear, older key", `{"rope_scaling": {"type": "linear", "factor": 2.0}}`, with(llama7, func(c *Config) { c.RopeScaling = RopeScaling{Type: "linear", Factor: 2} }), nil},
		{"both keys of the type", `{"rope_scaling": {"type": "llama3", "rope_type": "llama3", "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}}`,
			with(llama7, func(c *Config) { c.RopeScaling = llama3 }), nil},
		{"torch. before the dtype", `{"torch_dtype": "torch.float32"}`, with(llama7, func(c *Config) { c.DType = "float32" }), nil},
		{"head_dim beside an odd hidden size", `{"hidden_size": 100, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 32}`,
			with(llama7, func(c *Config) {
				c.HiddenSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = 100, 3, 3, 32
			}), nil},
		{"nulls", `{"head_dim": null, "num_key_value_heads": null, "rope_scaling": null, "bos_token_id": null, "eos_token_id": null, "quantization_config": null, "sliding_window": null}`, llama7, nil},
		{"one eos", `{"eos_token_id": 2, "bos_token_id": 1}`, with(llama7, func(c *Config) { c.EOS, c.BOS = []int{2}, 1 }), nil},
		{"eos twice", `{"eos_token_id": [2, 2]}`, with(llama7, func(c *Config) { c.EOS = []int{2} }), nil},
		{"unknown keys", `{"hidden_sizes": 1, "vocab_size": 32000, "zz": {}}`, llama7, []string{"hidden_sizes", "zz"}},
		{"Mistral without window", `{"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": null, "max_position_embeddings": 32768}`,
			with(llama7, func(c *Config) { c.IntermediateSize, c.NumKeyValueHeads, c.MaxPositionEmbeddings = 14336, 8, 32768 }), nil},
		{"Mistral with a wide window", `{"model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 4096, "num_key_value_heads": null, "intermediate_size": 14336}`,
			with(llama7, func(c *Config) { c.IntermediateSize, c.MaxPositionEmbeddings = 14336, 4096 }), nil},
		{"Meta's Llama 2", `{"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-06, "vocab_size": -1}`, with(meta, func(c *Config) { c.VocabSize, c.RMSNormEps = -1, 1e-6 }), nil},
		{"Meta without eps", `{"dim": 4096, "n_layers": 32}`, meta, nil},
		{"Meta's Llama 2 70B", `{"dim": 8192, "multiple_of": 4096, "ffn_dim_multiplier": 1.3, "n_heads": 64, "n_kv_heads": 8, "n_layers": 80, "norm_eps": 1e-05, "vocab_size": 32000}`,
			with(meta, func(c *Config) {
				c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads = 8192, 28672, 80, 64, 8
			}), nil},
		{"Meta's Llama 3 8B", `{"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0}`,
			with(meta, func(c *Config) {
				c.IntermediateSize, c.NumKeyValueHeads, c.VocabSize, c.RopeTheta = 14336, 8, 128256, 500000
			}), nil},
		{"Meta's Llama 3.2 1B", `{"dim": 2048, "ffn_dim_multiplier": 1.5, "multiple_of": 256, "n_heads": 32, "n_kv_heads": 8, "n_layers": 16, "norm_eps": 1e-05, "use_scaled_rope": true, "vocab_size": 128256}`,
			with(meta, func(c *Config) {
				c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumKeyValueHeads, c.HeadDim = 2048, 8192, 16, 8, 64
				c.VocabSize, c.RopeTheta, c.RopeScaling = 128256, 500000, llama3
			}), nil},
		{"Meta's Llama 3.1 8B", `{"dim": 4096, "n_heads": 32, "vocab_size": 128256, "use_scaled_rope": true}`,
			with(meta, func(c *Config) {
				c.VocabSize, c.RopeTheta, c.RopeScaling = 128256, 500000, RopeScaling{"llama3", 8, 1, 4, 8192}
			}), nil},
		{"both names, equal", `{"hidden_size": 2048, "dim": 2048, "multiple_of": 256}`, with(llama7, func(c *Config) { c.HiddenSize, c.IntermediateSize, c.HeadDim = 2048, 5632, 64 }), nil},
		{"max_seq_len", `{"max_seq_len": 512}`, with(llama7, func(c *Config) { c.MaxPositionEmbeddings = 512 }), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, unknown, err := ParseConfig([]byte(tt.text), "config.json")
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("config %+v\nexpected %+v", got, tt.want)
			}
			if !reflect.DeepEqual(unknown, tt.unknown) {
				t.Errorf("unknown %q, expected %q", unknown, tt.unknown)
			}
		})
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"broken", `{"hidden_size": 4096`, "byte 20: the JSON ends"},
		{"no object", `[]`, "expected a JSON object"},
		{"duplicate", `{"hidden_size": 4096, "hidden_size": 64}`, `duplicate key "hidden_size"`},
		{"text for a number", `{"hidden_size": "4096"}`, `hidden_size: is "4096", expected an integer`},
		{"fraction", `{"hidden_size": 4096.0}`, "hidden_size: is 4096.0, expected an integer"},
		{"too large for an integer", `{"hidden_size": 99999999999999999999}`, "expected an integer"},
		{"list", `{"vocab_size": [1]}`, "vocab_size: is a list, expected an integer"},
		{"heads do not divide", `{"hidden_size": 100, "num_attention_heads": 3}`, "The hidden size (100) is not a multiple of the number of attention heads (3)."},
		{"KV heads do not divide", `{"num_attention_heads": 32, "num_key_value_heads": 5}`, "The number of attention heads (32) is not a multiple of the number of key-value heads (5)."},
		{"KV heads 0", `{"num_key_value_heads": 0}`, "num_key_value_heads must be between 1 and 4096, got 0."},
		{"heads 0", `{"num_attention_heads": 0}`, "num_attention_heads must be between 1 and 4096, got 0."},
		{"odd head_dim", `{"head_dim": 33}`, "head_dim must be even and between 2 and 4096, got 33."},
		{"odd head_dim by division", `{"hidden_size": 99, "num_attention_heads": 33, "num_key_value_heads": 33}`, "head_dim must be even and between 2 and 4096, got 3."},
		{"head_dim 0", `{"head_dim": 0}`, "head_dim: is 0"},
		{"head_dim -2", `{"head_dim": -2}`, "got -2."},
		{"heads times head_dim", `{"head_dim": 4096, "num_attention_heads": 4096, "num_key_value_heads": 4096}`, "num_attention_heads (4096) times head_dim (4096) must be at most 262144."},
		{"hidden 0", `{"hidden_size": 0}`, "hidden_size must be between 1 and 262144, got 0."},
		{"hidden -1", `{"hidden_size": -1}`, "got -1."},
		{"hidden 2^62", `{"hidden_size": 4611686018427387904}`, "hidden_size must be"},
		{"10^9 layers", `{"num_hidden_layers": 1000000000}`, "num_hidden_layers must be between 1 and 1024, got 1000000000."},
		{"max_pos 2^31", `{"max_position_embeddings": 2147483648}`, "max_position_embeddings must be between 1 and 1073741824, got 2147483648."},
		{"vocabulary -1", `{"vocab_size": -1}`, "vocab_size must be between 1 and 4194304, got -1."},
		{"FFN 0", `{"intermediate_size": 0}`, "intermediate_size must be between 1 and 1048576, got 0."},
		{"theta 0", `{"rope_theta": 0}`, "rope_theta must be between 1 and 1e+12, got 0."},
		{"theta 1e308", `{"rope_theta": 1e308}`, "rope_theta must be between 1 and 1e+12, got 1e+308."},
		{"theta 1e999", `{"rope_theta": 1e999}`, "rope_theta: is 1e999, expected a finite number"},
		{"theta NaN", `{"rope_theta": NaN}`, "expected a number"},
		{"eps 0", `{"rms_norm_eps": 0}`, "rms_norm_eps must be above 0 and below 1, got 0."},
		{"eps negative", `{"rms_norm_eps": -1e-6}`, "rms_norm_eps must be above 0"},
		{"bos -1", `{"bos_token_id": -1}`, "bos_token_id: is -1, expected a token id or null"},
		{"bos beyond", `{"bos_token_id": 32000}`, "bos_token_id must be between 0 and 31999 (vocab_size 32000), got 32000."},
		{"eos beyond", `{"eos_token_id": [2, 32000]}`, "eos_token_id must be between 0 and 31999 (vocab_size 32000), got 32000."},
		{"eos -1", `{"eos_token_id": -1}`, "eos_token_id: has -1, expected a token id"},
		{"65 eos", `{"eos_token_id": [0` + seq(1, 64) + `]}`, "has more than 64 ids"},
		{"eos of an empty list", `{"eos_token_id": []}`, "eos_token_id: is a list, expected a token id"},
		{"Qwen2", `{"architectures": ["Qwen2ForCausalLM"]}`, `architectures: "Qwen2ForCausalLM" is not supported, expected LlamaForCausalLM or MistralForCausalLM`},
		{"Gemma by model_type", `{"model_type": "gemma"}`, `"gemma" is not supported`},
		{"two architectures", `{"architectures": ["LlamaForCausalLM", "X"]}`, "expected a list of one name"},
		{"architectures a text", `{"architectures": "LlamaForCausalLM"}`, "expected a list of one name"},
		{"base model", `{"architectures": ["LlamaModel"]}`, `"LlamaModel" is not supported`},
		{"attention bias", `{"attention_bias": true}`, "attention_bias: is true, which is not supported"},
		{"MLP bias", `{"mlp_bias": true}`, "mlp_bias: is true"},
		{"gelu", `{"hidden_act": "gelu"}`, `hidden_act: is "gelu", only "silu" is supported`},
		{"window", `{"architectures": ["MistralForCausalLM"], "sliding_window": 4096, "max_position_embeddings": 32768}`, "sliding_window: 4096 is less than max_position_embeddings (32768)"},
		{"Mistral's own window", `{"architectures": ["MistralForCausalLM"], "max_position_embeddings": 32768}`, "sliding_window: 4096 is less"},
		{"layer types", `{"layer_types": ["full_attention", "sliding_attention"]}`, "layer_types: has other layers"},
		{"GPTQ", `{"quantization_config": {"quant_method": "gptq", "bits": 4}}`, `quantization_config: "gptq" weights are not supported`},
		{"vision", `{"vision_config": {}}`, "vision_config: is set"},
		{"experts", `{"num_local_experts": 8}`, "mixtures of experts are not supported"},
		{"partial rotary", `{"partial_rotary_factor": 0.5}`, "partial_rotary_factor: is 0.5, only 1 is supported"},
		{"yarn", `{"rope_scaling": {"rope_type": "yarn", "factor": 2}}`, `rope_scaling.rope_type: "yarn" is not supported, expected "default", "linear" or "llama3"`},
		{"dynamic", `{"rope_scaling": {"type": "dynamic", "factor": 2}}`, `"dynamic" is not supported`},
		{"linear without factor", `{"rope_scaling": {"type": "linear"}}`, `rope_scaling.factor: is absent, which rope type "linear" needs`},
		{"linear by 0", `{"rope_scaling": {"type": "linear", "factor": 0}}`, "rope_scaling: factor must be between 1 and 1e+06, got 0."},
		{"llama3 without low", `{"rope_scaling": {"rope_type": "llama3", "factor": 8}}`, "rope_scaling.low_freq_factor: is absent"},
		{"llama3 high below low", `{"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1, "original_max_position_embeddings": 8192}}`, "high_freq_factor must be above low_freq_factor (4)"},
		{"scaling a number", `{"rope_scaling": 2}`, "rope_scaling: is 2, expected an object"},
		{"per layer type", `{"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}`, "rope_parameters: differs between layer types"},
		{"thetas differ", `{"rope_theta": 10000, "rope_parameters": {"rope_theta": 500000}}`, "rope_theta: is 10000, but rope_parameters.rope_theta is 500000"},
		{"scalings differ", `{"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"type": "linear", "factor": 2}}`, "rope_scaling: differs from rope_parameters"},
		{"dtypes differ", `{"dtype": "float32", "torch_dtype": "float16"}`, `torch_dtype: is "float16", but dtype is "float32"`},
		{"names differ", `{"hidden_size": 2048, "dim": 4096}`, "dim: is 4096, but hidden_size is 2048"},
		{"multiple_of 0", `{"dim": 4096, "multiple_of": 0}`, "multiple_of: is 0"},
		{"multiplier", `{"dim": 4096, "ffn_dim_multiplier": -1}`, "ffn_dim_multiplier: is -1"},
		{"dim 2^62", `{"dim": 4611686018427387904}`, "hidden_size must be"},
		{"Meta's vision", `{"dim": 4096, "vision_chunk_size": 448}`, "vision_chunk_size: is set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ParseConfig([]byte(tt.text), "dir/config.json")
			refused(t, err, KindConfig, tt.want, "dir/config.json")
		})
	}
}

func seq(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		b.WriteString(",")
		b.WriteString(strconv.Itoa(i))
	}
	return b.String()
}

// TestValidate checks what no file can say.
func TestValidate(t *testing.T) {
	if err := llama7.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		f    func(*Config)
		want string // whole, for these reach users of ModelArgs as they are
	}{
		{"zero", func(c *Config) { *c = Config{} }, "hidden_size must be between 1 and 262144, got 0."},
		{"heads", func(c *Config) { c.HeadDim, c.NumAttentionHeads = 0, 3 }, "The hidden size (4096) is not a multiple of the number of attention heads (3)."},
		{"theta NaN", func(c *Config) { c.RopeTheta = math.NaN() }, "rope_theta must be between 1 and 1e+12, got NaN."},
		{"eps NaN", func(c *Config) { c.RMSNormEps = math.NaN() }, "rms_norm_eps must be above 0 and below 1, got NaN."},
		{"eps infinite", func(c *Config) { c.RMSNormEps = math.Inf(1) }, "rms_norm_eps must be above 0 and below 1, got +Inf."},
		{"architecture", func(c *Config) { c.Architecture = "gpt2" }, `architecture "gpt2" is not supported, expected "llama".`},
		{"rope type", func(c *Config) { c.RopeScaling.Type = "yarn" }, `rope_scaling: type "yarn" is not supported, expected "default", "linear" or "llama3".`},
		{"factor NaN", func(c *Config) { c.RopeScaling = RopeScaling{Type: "linear", Factor: math.NaN()} }, "rope_scaling: factor must be between 1 and 1e+06, got NaN."},
		{"original context", func(c *Config) { c.RopeScaling = RopeScaling{"llama3", 8, 1, 4, 0} }, "rope_scaling: original_max_position_embeddings must be between 1 and 1073741824, got 0."},
		{"bos -2", func(c *Config) { c.BOS = -2 }, "bos_token_id must be between 0 and 31999 (vocab_size 32000), got -2."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := with(llama7, tt.f).Validate()
			refused(t, err, KindConfig)
			if err.Error() != tt.want {
				t.Errorf("error %q\nexpected %q", err, tt.want)
			}
		})
	}
}

func TestReadConfig(t *testing.T) {
	dir := folderOf(t, map[string][]byte{"config.json": []byte(`{"hidden_size": 2048}`), "params.json": []byte(`{"dim": 64}`)})
	metaDir := folderOf(t, map[string][]byte{"params.json": []byte(`{"dim": 1024}`)})
	for _, tt := range []struct {
		path string
		want int
	}{{dir, 2048}, {dir + "/config.json", 2048}, {dir + "/params.json", 64}, {metaDir, 1024}} {
		c, _, err := ReadConfig(tt.path)
		if err != nil || c.HiddenSize != tt.want {
			t.Errorf("%s: hidden size %d, %v; expected %d", tt.path, c.HiddenSize, err, tt.want)
		}
	}
	empty := t.TempDir()
	for path, want := range map[string]string{
		empty + "/config.json":     "Config file '" + empty + "/config.json' does not exist.",
		empty:                      "Config file '" + empty + "/config.json' does not exist.",
		dir + "/config.json/below": "Config file '" + dir + "/config.json/below' does not exist.",
	} {
		_, _, err := ReadConfig(path)
		refused(t, err, KindMissingFile)
		if err.Error() != want {
			t.Errorf("error %q, expected %q", err, want)
		}
	}
	large := folderOf(t, map[string][]byte{"config.json": []byte("{}" + strings.Repeat(" ", maxConfigBytes))})
	_, _, err := ReadConfig(large)
	refused(t, err, KindConfig, "has 16777218 bytes, at most 16777216 are allowed")
}

// TestFFNSize has the sizes of Meta's published models.
func TestFFNSize(t *testing.T) {
	for _, tt := range []struct {
		dim, multiple int
		multiplier    float64
		want          int
	}{{4096, 256, 1, 11008}, {5120, 256, 1, 13824}, {2048, 256, 1, 5632}, {8192, 4096, 1.3, 28672}, {4096, 1024, 1.3, 14336}, {2048, 256, 1.5, 8192}, {3072, 256, 1, 8192}} {
		if got := ffnSize(tt.dim, tt.multiple, tt.multiplier); got != tt.want {
			t.Errorf("ffnSize(%d, %d, %v) = %d, expected %d", tt.dim, tt.multiple, tt.multiplier, got, tt.want)
		}
	}
}
