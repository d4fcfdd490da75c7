package weights

import (
	"fmt"
	"slices"
)

// Validate checks every field against its range, and the fields against each
// other. It looks at no weight.
func (c Config) Validate() error {
	fail := func(format string, args ...any) error {
		return &Error{Kind: KindConfig, Msg: fmt.Sprintf(format, args...)}
	}
	if c.Architecture != "" && c.Architecture != "llama" {
		return fail("architecture %q is not supported, expected \"llama\".", clip(c.Architecture))
	}
	for _, r := range []struct {
		name     string
		n, limit int
	}{
		{"hidden_size", c.HiddenSize, maxHidden},
		{"intermediate_size", c.IntermediateSize, maxFFN},
		{"num_hidden_layers", c.NumHiddenLayers, maxLayers},
		{"num_attention_heads", c.NumAttentionHeads, maxHeads},
		{"num_key_value_heads", c.NumKeyValueHeads, maxHeads},
		{"vocab_size", c.VocabSize, maxModelVoc},
		{"max_position_embeddings", c.MaxPositionEmbeddings, maxPositions},
	} {
		if r.n < 1 || r.n > r.limit {
			return fail("%s must be between 1 and %d, got %d.", r.name, r.limit, r.n)
		}
	}
	switch {
	case c.HeadDim == 0 && c.HiddenSize%c.NumAttentionHeads != 0:
		return fail("The hidden size (%d) is not a multiple of the number of attention heads (%d).", c.HiddenSize, c.NumAttentionHeads)
	case c.HeadDim < 2 || c.HeadDim > maxHeadDim || c.HeadDim%2 != 0:
		return fail("head_dim must be even and between 2 and %d, got %d.", maxHeadDim, c.HeadDim)
	case c.NumAttentionHeads*c.HeadDim > maxHidden:
		return fail("num_attention_heads (%d) times head_dim (%d) must be at most %d.", c.NumAttentionHeads, c.HeadDim, maxHidden)
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		return fail("The number of attention heads (%d) is not a multiple of the number of key-value heads (%d).", c.NumAttentionHeads, c.NumKeyValueHeads)
	case !(c.RMSNormEps > 0 && c.RMSNormEps < 1): // false for NaN
		return fail("rms_norm_eps must be above 0 and below 1, got %v.", c.RMSNormEps)
	case !(c.RopeTheta >= 1 && c.RopeTheta <= maxRopeTheta):
		return fail("rope_theta must be between 1 and %g, got %v.", maxRopeTheta, c.RopeTheta)
	case c.BOS < -1 || c.BOS >= c.VocabSize:
		return fail("bos_token_id must be between 0 and %d (vocab_size %d), got %d.", c.VocabSize-1, c.VocabSize, c.BOS)
	case len(c.EOS) > maxEOS:
		return fail("eos_token_id has %d ids, at most %d are allowed.", len(c.EOS), maxEOS)
	}
	if i := slices.IndexFunc(c.EOS, func(id int) bool { return id < 0 || id >= c.VocabSize }); i >= 0 {
		return fail("eos_token_id must be between 0 and %d (vocab_size %d), got %d.", c.VocabSize-1, c.VocabSize, c.EOS[i])
	}
	return c.RopeScaling.validate()
}

func (r RopeScaling) validate() error {
	fail := func(format string, args ...any) error {
		return &Error{Kind: KindConfig, Msg: "rope_scaling: " + fmt.Sprintf(format, args...)}
	}
	switch r.Type {
	case "":
		return nil
	case "linear", "llama3":
	default:
		return &Error{Kind: KindConfig, Msg: fmt.Sprintf("rope_scaling: type %q is not supported, expected \"default\", \"linear\" or \"llama3\".", clip(r.Type))}
	}
	if !(r.Factor >= 1 && r.Factor <= maxFactor) {
		return fail("factor must be between 1 and %g, got %v.", maxFactor, r.Factor)
	}
	if r.Type == "linear" {
		return nil
	}
	switch {
	case !(r.LowFreqFactor > 0 && r.LowFreqFactor <= maxFactor):
		return fail("low_freq_factor must be above 0 and at most %g, got %v.", maxFactor, r.LowFreqFactor)
	case !(r.HighFreqFactor > r.LowFreqFactor && r.HighFreqFactor <= maxFactor):
		return fail("high_freq_factor must be above low_freq_factor (%v) and at most %g, got %v.", r.LowFreqFactor, maxFactor, r.HighFreqFactor)
	case r.OriginalMaxPositionEmbeddings < 1 || r.OriginalMaxPositionEmbeddings > maxPositions:
		return fail("original_max_position_embeddings must be between 1 and %d, got %d.", maxPositions, r.OriginalMaxPositionEmbeddings)
	}
	return nil
}
