package weights

// Config describes a Llama model in Hugging Face's names. Parse fills it from
// config.json, params.json or GGUF keys; Validate checks every field.
type Config struct {
	Architecture          string      `json:"architecture"` // "llama"
	HiddenSize            int         `json:"hidden_size"`
	IntermediateSize      int         `json:"intermediate_size"`
	NumHiddenLayers       int         `json:"num_hidden_layers"`
	NumAttentionHeads     int         `json:"num_attention_heads"`
	NumKeyValueHeads      int         `json:"num_key_value_heads"`
	HeadDim               int         `json:"head_dim"`
	VocabSize             int         `json:"vocab_size"` // -1 only from ParseConfig: params.json leaves it to the tokenizer
	MaxPositionEmbeddings int         `json:"max_position_embeddings"`
	RMSNormEps            float64     `json:"rms_norm_eps"`
	RopeTheta             float64     `json:"rope_theta"`
	RopeScaling           RopeScaling `json:"rope_scaling"`
	TieWordEmbeddings     bool        `json:"tie_word_embeddings"`
	BOS                   int         `json:"bos_token_id"` // -1: none
	EOS                   []int       `json:"eos_token_id"`
	DType                 string      `json:"dtype"` // "float32", "float16", "bfloat16" or a GGUF type; the stored type of most weights
}

// RopeScaling is rope_scaling; Type "" is plain RoPE. For "llama3" see
// transformers modeling_rope_utils._compute_llama3_parameters.
type RopeScaling struct {
	Type                          string  `json:"rope_type,omitempty"` // "", "linear", "llama3"
	Factor                        float64 `json:"factor,omitempty"`
	LowFreqFactor                 float64 `json:"low_freq_factor,omitempty"`
	HighFreqFactor                float64 `json:"high_freq_factor,omitempty"`
	OriginalMaxPositionEmbeddings int     `json:"original_max_position_embeddings,omitempty"`
}
