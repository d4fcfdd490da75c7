package cpu

import (
	"fmt"
	"math"

	"github.com/llama-go/llama-go/weights"
)

// ropeTable holds the cosines and sines of every position that was asked for.
// Angles are products in float64, rounded once after cos and sin.
type ropeTable struct {
	invFreq []float64 // (headDim/2,) radians per position
	cos     []float32 // (positions, headDim/2)
	sin     []float32 // (positions, headDim/2)
}

// newRopeTable computes the frequencies theta^(-2i/headDim), scaled as the
// config says. factors, if not nil, are the divisors that a GGUF carries for
// each frequency; they stand for the scaling of type llama3 then.
func newRopeTable(cfg weights.Config, factors []float32) (*ropeTable, error) {
	half := cfg.HeadDim / 2
	r := &ropeTable{invFreq: make([]float64, half)}
	for i := range r.invFreq {
		r.invFreq[i] = math.Pow(cfg.RopeTheta, -float64(2*i)/float64(cfg.HeadDim))
	}
	s := cfg.RopeScaling
	if s.Type != "" && s.Type != "default" && !(s.Factor > 0) {
		return nil, &ConfigError{"rope_scaling.factor", fmt.Sprint(s.Factor), "a positive number"}
	}
	switch s.Type {
	case "", "default":
	case "linear":
		for i := range r.invFreq {
			r.invFreq[i] /= s.Factor
		}
	case "llama3":
		if factors == nil {
			if !(s.LowFreqFactor > 0) || !(s.HighFreqFactor > s.LowFreqFactor) || s.OriginalMaxPositionEmbeddings < 1 {
				return nil, &ConfigError{"rope_scaling", fmt.Sprintf("%+v", s),
					"low_freq_factor, high_freq_factor above it and original_max_position_embeddings, all positive"}
			}
			for i, f := range r.invFreq {
				r.invFreq[i] = llama3Freq(f, s)
			}
		}
	default:
		return nil, &ConfigError{"rope_scaling.rope_type", fmt.Sprintf("%q", s.Type), `none, "linear" or "llama3"`}
	}
	if factors != nil {
		if len(factors) != half {
			return nil, &TensorError{"rope_freqs.weight", fmt.Sprintf("%d divisors", len(factors)), fmt.Sprintf("%d, half of head_dim", half)}
		}
		for i, f := range factors {
			if !(f > 0) {
				return nil, &TensorError{"rope_freqs.weight", fmt.Sprintf("divisor %v at %d", f, i), "positive numbers"}
			}
			r.invFreq[i] /= float64(f)
		}
	}
	return r, nil
}

// llama3Freq scales one frequency as Llama 3.1 does: wavelengths above
// original/low are divided by factor, those below original/high stay, and
// between them the two are mixed (transformers
// modeling_rope_utils._compute_llama3_parameters).
func llama3Freq(freq float64, s weights.RopeScaling) float64 {
	original := float64(s.OriginalMaxPositionEmbeddings)
	wavelen := 2 * math.Pi / freq
	switch {
	case wavelen > original/s.LowFreqFactor:
		return freq / s.Factor
	case wavelen < original/s.HighFreqFactor:
		return freq
	}
	smooth := (original/wavelen - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return (1-smooth)*freq/s.Factor + smooth*freq
}

// grow makes rows for positions [0, n). A row's bits depend on its position
// alone.
func (r *ropeTable) grow(n int) {
	for pos := len(r.cos) / len(r.invFreq); pos < n; pos++ {
		for _, f := range r.invFreq {
			sin, cos := math.Sincos(float64(pos) * f)
			r.cos, r.sin = append(r.cos, float32(cos)), append(r.sin, float32(sin))
		}
	}
}

// at is the row of a position that grow has made.
func (r *ropeTable) at(pos int) (cos, sin []float32) { // (headDim/2,)
	h := len(r.invFreq)
	return r.cos[pos*h : (pos+1)*h], r.sin[pos*h : (pos+1)*h]
}
