package weights

import (
	"math"
	"slices"
)

// rope reads rope_theta and rope_scaling (transformers v4), rope_parameters
// (v5) or use_scaled_rope (Meta).
func (f *fields) rope(c *Config, meta bool) {
	theta := math.NaN()
	if meta {
		theta = 10000
		if c.VocabSize == 128256 {
			theta = 500000
		}
	}
	theta = f.float(theta, "rope_theta")
	read := false
	for _, key := range []string{"rope_parameters", "rope_scaling"} {
		r, ok := f.child(key)
		if !ok {
			continue
		}
		if slices.ContainsFunc(r.keys, func(k string) bool { _, nested := r.values[k].(object); return nested }) {
			f.fail(key, "differs between layer types, which is not supported")
		}
		t := r.float(theta, "rope_theta")
		if !math.IsNaN(theta) && t != theta && !meta {
			f.fail("rope_theta", "is %v, but %s.rope_theta is %v", theta, key, t)
		}
		theta = t
		scaling := r.scaling()
		if r.err != nil && f.err == nil {
			f.err = r.err
		}
		if read && c.RopeScaling != scaling {
			f.fail(key, "differs from rope_parameters")
		}
		c.RopeScaling, read = scaling, true
	}
	if math.IsNaN(theta) {
		theta = 10000
	}
	c.RopeTheta = theta
	if f.boolean(false, "use_scaled_rope") {
		// Meta's code fixes 8 where the checkpoints of Llama 3.2 need 32.
		factor := 8.0
		if c.VocabSize == 128256 && (c.HiddenSize == 2048 || c.HiddenSize == 3072) {
			factor = 32
		}
		c.RopeScaling = RopeScaling{Type: "llama3", Factor: f.float(factor, "rope_scaling_factor"),
			LowFreqFactor: 1, HighFreqFactor: f.float(4, "rope_high_freq_factor"), OriginalMaxPositionEmbeddings: 8192}
	}
}

// scaling reads the fields of one rope_scaling object.
func (f *fields) scaling() RopeScaling {
	kind := f.text("", "rope_type")
	if older := f.text("", "type"); kind == "" {
		kind = older
	}
	r := RopeScaling{Type: kind}
	need := func(key string) float64 {
		if !f.has(key) {
			f.fail(key, "is absent, which rope type %q needs", clip(kind))
		}
		return f.float(0, key)
	}
	if p := f.float(1, "partial_rotary_factor"); p != 1 {
		f.fail("partial_rotary_factor", "is %v, only 1 is supported", p)
	}
	switch kind {
	case "", "default":
		r.Type = ""
	case "linear":
		r.Factor = need("factor")
	case "llama3":
		r.Factor, r.LowFreqFactor, r.HighFreqFactor = need("factor"), need("low_freq_factor"), need("high_freq_factor")
		need("original_max_position_embeddings")
		r.OriginalMaxPositionEmbeddings = f.integer(0, "original_max_position_embeddings")
	default:
		f.fail("rope_type", "%q is not supported, expected \"default\", \"linear\" or \"llama3\"", clip(kind))
	}
	return r
}
