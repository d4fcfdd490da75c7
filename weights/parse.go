package weights

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ParseConfig reads and checks config.json (transformers v4 and v5) or
// params.json (Meta); the content says which. file is for messages. The second
// result lists keys that are neither used nor known to be harmless.
//
// A params.json may leave vocab_size at -1, "the tokenizer's": it stays -1 then,
// and everything else is checked.
func ParseConfig(data []byte, file string) (Config, []string, error) {
	c, unknown, err := parseConfig(data)
	if err != nil {
		return Config{}, nil, located(err, file)
	}
	return c, unknown, nil
}

// ReadConfig reads a config file, or that of a folder.
func ReadConfig(path string) (Config, []string, error) {
	f, name, err := openNamed(path, func(f *folder) string {
		if !f.has(hfConfig) && f.has(metaConfig) {
			return metaConfig
		}
		return hfConfig
	})
	if err != nil && notThere(err) {
		return Config{}, nil, missing(fmt.Sprintf("Config file '%s' does not exist.", path), "")
	}
	if err != nil {
		return Config{}, nil, &Error{Kind: KindConfig, File: path, Msg: "cannot be opened: " + cause(err), Err: err}
	}
	defer f.close()
	if !f.has(name) {
		return Config{}, nil, missing(fmt.Sprintf("Config file '%s' does not exist.", filepath.Join(path, name)), "")
	}
	return f.config(name)
}

// config reads a config file of the folder.
func (f *folder) config(name string) (Config, []string, error) {
	data, err := f.read(name, maxConfigBytes, KindConfig)
	if err != nil {
		return Config{}, nil, err
	}
	return ParseConfig(data, f.path(name))
}

const (
	hfConfig         = "config.json"
	metaConfig       = "params.json"
	generationConfig = "generation_config.json"
)

// defaults are the values of absent fields (transformers configuration_llama.py,
// configuration_mistral.py; meta-llama/llama llama/model.py).
type defaults struct {
	ffn, kvHeads, positions, window int // 0: follows from others
	eps                             float64
}

var (
	llamaDefaults   = defaults{ffn: 11008, positions: 2048, eps: 1e-6}
	mistralDefaults = defaults{ffn: 14336, kvHeads: 8, positions: 4096 * 32, window: 4096, eps: 1e-6}
	metaDefaults    = defaults{positions: 2048, eps: 1e-5}
)

func parseConfig(data []byte) (Config, []string, error) {
	o, err := parseObject(data, KindConfig)
	if err != nil {
		return Config{}, nil, err
	}
	f := newFields(o, "")
	meta := (f.has("dim") || f.has("n_layers") || f.has("n_heads")) && !f.has("hidden_size")
	def := metaDefaults
	if !meta {
		def = f.architecture()
	}
	f.refuse()

	c := Config{
		Architecture:          "llama",
		HiddenSize:            f.integer(4096, "hidden_size", "dim"),
		NumHiddenLayers:       f.integer(32, "num_hidden_layers", "n_layers"),
		NumAttentionHeads:     f.integer(32, "num_attention_heads", "n_heads"),
		VocabSize:             f.integer(32000, "vocab_size"),
		MaxPositionEmbeddings: f.integer(f.integer(def.positions, "max_seq_len"), "max_position_embeddings"),
		RMSNormEps:            f.float(def.eps, "rms_norm_eps", "norm_eps"),
		TieWordEmbeddings:     f.boolean(false, "tie_word_embeddings"),
		BOS:                   f.integer(-1, "bos_token_id"),
		EOS:                   f.ids("eos_token_id"),
		DType:                 dtypeName(f.text("", "dtype", "torch_dtype")),
	}
	if f.has("bos_token_id") && c.BOS < 0 {
		f.fail("bos_token_id", "is %d, expected a token id or null", c.BOS)
	}
	c.NumKeyValueHeads = c.NumAttentionHeads
	if _, there := f.values["num_key_value_heads"]; !there && def.kvHeads != 0 {
		c.NumKeyValueHeads = def.kvHeads
	}
	c.NumKeyValueHeads = f.integer(c.NumKeyValueHeads, "num_key_value_heads", "n_kv_heads")
	c.HeadDim = f.integer(0, "head_dim")
	if f.has("head_dim") && c.HeadDim == 0 {
		f.fail("head_dim", "is 0, expected an even number from 2 to %d", maxHeadDim)
	}
	c.IntermediateSize = f.ffn(c.HiddenSize, def)
	f.rope(&c, meta)
	f.slidingWindow(c, def)
	if f.err != nil {
		return Config{}, nil, f.err
	}
	c = c.withHeadDim()
	check := c
	if meta && c.VocabSize == -1 {
		check.VocabSize = maxModelVoc
	}
	return c, f.unknown(harmless), check.Validate()
}

// withHeadDim fills in an absent head_dim where it follows from the others.
func (c Config) withHeadDim() Config {
	if c.HeadDim == 0 && c.NumAttentionHeads > 0 && c.HiddenSize%c.NumAttentionHeads == 0 {
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	return c
}

// architecture checks that the config is of a model that we compute rightly.
func (f *fields) architecture() defaults {
	kind := f.text("llama", "model_type")
	_, v := f.get("architectures")
	name := map[string]string{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}[kind]
	list, ok := v.([]value)
	switch {
	case v == nil && name == "":
		f.fail("model_type", "%q is not supported, expected \"llama\" or \"mistral\"", clip(kind))
	case v != nil && (!ok || len(list) != 1):
		f.fail("architectures", "is %s, expected a list of one name", plain(v))
	case v != nil:
		if name, ok = list[0].(string); !ok {
			f.fail("architectures", "has %s, expected a name", plain(list[0]))
		}
	}
	switch name {
	case "LlamaForCausalLM", "LLaMAForCausalLM":
		return llamaDefaults
	case "MistralForCausalLM":
		return mistralDefaults
	}
	f.fail("architectures", "%q is not supported, expected LlamaForCausalLM or MistralForCausalLM", clip(name))
	return llamaDefaults
}

// refuse names features that change what the model computes and that we do not
// have. Running without them would be silently wrong.
func (f *fields) refuse() {
	for _, key := range []string{"attention_bias", "mlp_bias", "rope_interleaved"} {
		if f.boolean(false, key) {
			f.fail(key, "is true, which is not supported")
		}
	}
	if act := f.text("silu", "hidden_act"); act != "silu" && act != "swish" {
		f.fail("hidden_act", "is %q, only \"silu\" is supported", clip(act))
	}
	if q, ok := f.child("quantization_config"); ok {
		f.fail("quantization_config", "%q weights are not supported, expected plain F32, F16 or BF16", clip(q.text("unknown", "quant_method")))
	}
	for _, key := range []string{"vision_config", "text_config", "audio_config", "quantization_args", "lora_args", "moe", "vision_chunk_size", "vision_max_num_chunks", "vision_num_cross_attention_layers"} {
		if _, v := f.get(key); v != nil && v != number("-1") && v != number("0") {
			f.fail(key, "is set: such models are not supported")
		}
	}
	for _, key := range []string{"num_local_experts", "num_experts"} {
		if n := f.integer(0, key); n > 1 {
			f.fail(key, "is %d: mixtures of experts are not supported", n)
		}
	}
	if p := f.float(1, "partial_rotary_factor"); p != 1 {
		f.fail("partial_rotary_factor", "is %v, only 1 is supported", p)
	}
	if _, v := f.get("layer_types"); v != nil {
		list, _ := v.([]value)
		if slices.ContainsFunc(list, func(kind value) bool { return kind != "full_attention" }) {
			f.fail("layer_types", "has other layers than \"full_attention\", which is not supported")
		}
	}
}

// ffn is intermediate_size where given; else Meta's formula where its fields
// are, or the architecture has no default; else the default.
func (f *fields) ffn(dim int, def defaults) int {
	multiple := f.integer(256, "multiple_of")
	multiplier := f.float(1, "ffn_dim_multiplier")
	size := f.integer(0, "intermediate_size", "hidden_dim")
	switch {
	case f.has("intermediate_size", "hidden_dim"):
		return size
	case def.ffn != 0 && !f.has("multiple_of"):
		return def.ffn
	case multiple < 1 || multiple > maxFFN:
		f.fail("multiple_of", "is %d, expected 1 to %d", multiple, maxFFN)
	case !(multiplier > 0 && multiplier < 100):
		f.fail("ffn_dim_multiplier", "is %v, expected above 0 and below 100", multiplier)
	case dim < 1 || dim > maxHidden:
		return 1 // Validate refuses dim
	default:
		return ffnSize(dim, multiple, multiplier)
	}
	return 0
}

// ffnSize is the width of Meta's feed-forward layer (meta-llama/llama
// llama/model.py): multiple · ceil(int(multiplier · int(8·dim/3)) / multiple).
func ffnSize(dim, multiple int, multiplier float64) int {
	n := int(multiplier * float64(8*dim/3))
	return multiple * ((n + multiple - 1) / multiple)
}

// slidingWindow refuses a window that is narrower than the context.
func (f *fields) slidingWindow(c Config, def defaults) {
	_, there := f.values["sliding_window"]
	window := f.integer(0, "sliding_window")
	if !there {
		window = def.window
	}
	if window > 0 && window < c.MaxPositionEmbeddings {
		f.fail("sliding_window", "%d is less than max_position_embeddings (%d): sliding-window attention is not supported",
			window, c.MaxPositionEmbeddings)
	}
}

// dtypeName strips torch's prefix.
func dtypeName(s string) string {
	s = strings.TrimPrefix(s, "torch.")
	if len(s) > 32 {
		return ""
	}
	return s
}

// readGeneration reads generation_config.json: c's eos ids, nil when it names
// none, and the advice for sampling. A vocabulary of -1 is not known yet.
func (f *folder) readGeneration(c *Checkpoint) error {
	if !f.has(generationConfig) {
		return nil
	}
	data, err := f.read(generationConfig, maxConfigBytes, KindConfig)
	if err != nil {
		return err
	}
	o, err := parseObject(data, KindConfig)
	if err != nil {
		return located(err, f.path(generationConfig))
	}
	g := newFields(o, "")
	c.EOS = g.ids("eos_token_id")
	vocab := c.Config.VocabSize
	if i := slices.IndexFunc(c.EOS, func(id int) bool { return id >= vocab }); i >= 0 && vocab > 0 {
		g.fail("eos_token_id", "has %d, expected ids below vocab_size (%d)", c.EOS[i], vocab)
	}
	var warnings []string
	c.Sampling, warnings = g.sampling()
	for _, w := range warnings {
		c.Warnings = append(c.Warnings, generationConfig+": "+w)
	}
	return located(g.err, f.path(generationConfig))
}

// harmless are keys of real configs that do not change what a model computes
// for us.
var harmless = func() map[string]bool {
	m := map[string]bool{}
	for _, key := range strings.Fields(`
		_attn_implementation _name_or_path add_cross_attention attention_dropout attn_implementation
		auto_map bad_words_ids begin_suppress_tokens chunk_size_feed_forward cross_attention_hidden_size
		decoder_start_token_id do_sample early_stopping finetuning_task forced_bos_token_id
		forced_eos_token_id hidden_dropout id2label initializer_range is_decoder is_encoder_decoder
		is_llama_config label2id max_batch_size max_sequence_length max_window_layers
		model_max_length output_attentions output_hidden_states pad_token_id pretraining_tp
		problem_type resid_pdrop return_dict sep_token_id task_specific_params temperature tf_legacy_loss
		tie_encoder_decoder tokenizer_class top_k top_p torchscript transformers_version
		transformers.js_config typical_p unsloth_fixed unsloth_version unsloth_processed use_bfloat16 use_cache
		use_sliding_window attention_probs_dropout embd_pdrop model_parallel_size`) {
		m[key] = true
	}
	return m
}()

// configName is the config file that a folder with safetensors has.
func (f *folder) configName() (string, error) {
	switch {
	case f.has(hfConfig):
		return hfConfig, nil
	case f.has(metaConfig):
		return metaConfig, nil
	}
	return "", missing(fmt.Sprintf("Config file '%s' does not exist.", filepath.Join(f.dir, hfConfig)),
		"a safetensors checkpoint needs its config.json beside it")
}
