//go:build amd64 && !purego

package simd

import (
	"unsafe"

	"github.com/llama-go/llama-go/simd/avx2"
	"github.com/llama-go/llama-go/simd/peak"
	"github.com/llama-go/llama-go/simd/pure"
)

// avx2Unit has the kernels of package avx2.
func avx2Unit() *unit {
	return &unit{
		name: "AVX2", why: "no AVX-512",
		dot: pure.Dot, dot2: pure.Dot2, dot3: pure.Dot3,
		add: avx2.Add, rmsNorm: avx2.RMSNorm, softmax: avx2.Softmax, siluMul: avx2.SiLUMul,
		weightedSum: pure.WeightedSum, ropeHalves: avx2.RopeHalves, ropeInterleaved: avx2.RopeInterleaved,
		rows: pureUnit.rows,
		turn: avx2.Hadamard,
		sumFit: func(fit *pure.Fit, w []float32, d, m, factor float32) {
			avx2.SumFit((*[5]float32)(unsafe.Pointer(fit)), w, &[3]float32{d, m, factor})
		},
		plan:     avx2Plan,
		convert:  converters{bias: avx2.QuantizeBias, halves: avx2.QuantizeHalves, sum: avx2.QuantizeSum, own: avx2.QuantizeOwn},
		toF16:    avx2.ToF16,
		prefetch: avx2.Prefetch,
		read:     peak.Read256,
	}
}

// avx2Plan chooses tiles. In exact mode, and where the activations are int8, they
// give the bits of avx512Plan's.
func avx2Plan(fast bool) *Plan {
	const fma, bytes = "FMA, float32 activations", "VPMADDUBSW, int8 activations in blocks of 32"
	const turned, own = "FMA, turned float32 activations", "VPMADDUBSW, turned int8 activations in groups of 256"
	p := &Plan{Fast: fast}
	p.kernels = [numTypes]*kernel{
		F32:  {what: fma, per: 1, run: avx2.F32.Run, wide: avx2.F32Wide.Run},
		F16:  {what: fma, per: 1, run: avx2.F16.Run, wide: avx2.F16Wide.Run},
		BF16: {what: fma, per: 1, run: avx2.BF16.Run, wide: avx2.BF16Wide.Run},
		Q8_0: {what: fma, per: 32, run: avx2.ExactQ8_0.Run, wide: avx2.ExactQ8_0Wide.Run},
		Q4_0: {what: fma, per: 32, run: avx2.ExactQ4_0.Run, wide: avx2.ExactQ4_0Wide.Run},
		Q4_1: {what: fma, per: 32, run: avx2.ExactQ4_1.Run, wide: avx2.ExactQ4_1Wide.Run},
		Q5_0: {what: fma, per: 32, run: avx2.ExactQ5_0.Run},
		Q5_1: {what: fma, per: 32, run: avx2.ExactQ5_1.Run},
		Q4_K: {what: fma, per: 256, run: avx2.ExactQ4_K.Run},
		Q5_K: {what: fma, per: 256, run: avx2.ExactQ5_K.Run},
		Q6_K: {what: fma, per: 256, run: avx2.ExactQ6_K.Run},
		I8:   {what: turned, form: formTurned, per: pure.OwnBlock, run: avx2.ExactI8.Run},
		I4:   {what: turned, form: formTurned, per: pure.OwnBlock, run: avx2.ExactI4.Run},
	}
	p.kv = p.kernels[F32]
	if !fast {
		return p
	}
	p.kv = &kernel{what: fma, per: 1, half: true, run: avx2.F16.Run, wide: avx2.F16Wide.Run}
	p.kernels[Q8_0] = &kernel{what: bytes, form: formBias128, per: 32, run: avx2.Int8Q8_0.Run}
	p.kernels[Q4_0] = &kernel{what: bytes, form: formBias8, per: 32, run: avx2.Int8Q4_0.Run}
	p.kernels[Q4_1] = &kernel{what: bytes, form: formSum, per: 32, run: avx2.Int8Q4_1.Run}
	p.kernels[Q5_0] = &kernel{what: bytes, form: formBias16, per: 32, run: avx2.Int8Q5_0.Run}
	p.kernels[Q5_1] = &kernel{what: bytes, form: formSum, per: 32, run: avx2.Int8Q5_1.Run}
	p.kernels[Q4_K] = &kernel{what: bytes, form: formSum, per: 256, run: avx2.Int8Q4_K.Run}
	p.kernels[Q5_K] = &kernel{what: bytes, form: formSum, per: 256, run: avx2.Int8Q5_K.Run}
	p.kernels[Q6_K] = &kernel{what: bytes, form: formHalves32, per: 256, run: avx2.Int8Q6_K.Run}
	p.kernels[I8] = &kernel{what: own, form: formOwn, per: pure.OwnBlock, run: avx2.Int8I8.Run}
	p.kernels[I4] = &kernel{what: own, form: formOwn, per: pure.OwnBlock, run: avx2.Int8I4.Run}
	return p
}
