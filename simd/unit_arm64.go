//go:build arm64 && !purego

package simd

import (
	"unsafe"

	"github.com/llama-go/llama-go/simd/neon"
	"github.com/llama-go/llama-go/simd/peak"
	"github.com/llama-go/llama-go/simd/pure"
)

// chooseUnit is the best unit for these features: NEON, pure Go.
func chooseUnit(fs features) *unit {
	if !fs.has(featNEON) {
		return pureFor("no NEON")
	}
	return &unit{
		name: "NEON",
		dot:  pure.Dot, dot2: pure.Dot2, dot3: pure.Dot3,
		add: neon.Add, rmsNorm: neon.RMSNorm, softmax: neon.Softmax, siluMul: neon.SiLUMul,
		weightedSum: pure.WeightedSum, ropeHalves: neon.RopeHalves, ropeInterleaved: neon.RopeInterleaved,
		rows: pureUnit.rows,
		turn: neon.Hadamard,
		sumFit: func(fit *pure.Fit, w []float32, d, m, factor float32) {
			neon.SumFit((*[5]float32)(unsafe.Pointer(fit)), w, &[3]float32{d, m, factor})
		},
		plan:     func(fast bool) *Plan { return neonPlan(fs, fast) },
		convert:  converters{bias: neon.QuantizeBias, halves: neon.QuantizeHalves, sum: neon.QuantizeSum, own: neon.QuantizeOwn},
		toF16:    neon.ToF16,
		prefetch: neon.Prefetch,
		read:     peak.ReadNEON,
	}
}

// neonPlan chooses tiles. Those of int8 activations have the same bits whatever
// multiplies, here and on amd64.
func neonPlan(fs features, fast bool) *Plan {
	const fma, int8 = "FMA, float32 activations", ", int8 activations in blocks of 32"
	const turned, own = "FMA, turned float32 activations", ", turned int8 activations in groups of 256"
	p := &Plan{Fast: fast}
	p.kernels = [numTypes]*kernel{
		F32:  {what: fma, per: 1, run: neon.F32.Run, wide: neon.F32Wide.Run},
		F16:  {what: fma, per: 1, run: neon.F16.Run, wide: neon.F16Wide.Run},
		BF16: {what: fma, per: 1, run: neon.BF16.Run, wide: neon.BF16Wide.Run},
		Q8_0: {what: fma, per: 32, run: neon.ExactQ8_0.Run},
		Q4_0: {what: fma, per: 32, run: neon.ExactQ4_0.Run},
		Q4_1: {what: fma, per: 32, run: neon.ExactQ4_1.Run},
		Q5_0: {what: fma, per: 32, run: neon.ExactQ5_0.Run},
		Q5_1: {what: fma, per: 32, run: neon.ExactQ5_1.Run},
		Q4_K: {what: fma, per: 256, run: neon.ExactQ4_K.Run},
		Q5_K: {what: fma, per: 256, run: neon.ExactQ5_K.Run},
		Q6_K: {what: fma, per: 256, run: neon.ExactQ6_K.Run},
		I8:   {what: turned, form: formTurned, per: pure.OwnBlock, run: neon.ExactI8.Run},
		I4:   {what: turned, form: formTurned, per: pure.OwnBlock, run: neon.ExactI4.Run},
	}
	p.kv = p.kernels[F32]
	if !fast {
		return p
	}
	p.kv = &kernel{what: fma, per: 1, half: true, run: neon.F16.Run, wide: neon.F16Wide.Run}
	dot, q80, q40, q41 := "SDOT", &neon.Int8Q8_0, &neon.Int8Q4_0, &neon.Int8Q4_1
	q50, q51, q4k, q5k, q6k := &neon.Int8Q5_0, &neon.Int8Q5_1, &neon.Int8Q4_K, &neon.Int8Q5_K, &neon.Int8Q6_K
	i8, i4 := &neon.Int8I8, &neon.Int8I4
	if !fs.has(featDotProd) {
		dot, q80, q40, q41 = "SMULL", &neon.MullQ8_0, &neon.MullQ4_0, &neon.MullQ4_1
		q50, q51, q4k, q5k, q6k = &neon.MullQ5_0, &neon.MullQ5_1, &neon.MullQ4_K, &neon.MullQ5_K, &neon.MullQ6_K
		i8, i4 = &neon.MullI8, &neon.MullI4
		p.why = append(p.why, "no dotprod: products of 16 bits")
	}
	what := dot + int8
	p.kernels[Q8_0] = &kernel{what: what, form: formBias128, per: 32, run: q80.Run}
	p.kernels[Q4_0] = &kernel{what: what, form: formBias8, per: 32, run: q40.Run}
	p.kernels[Q4_1] = &kernel{what: what, form: formSum, per: 32, run: q41.Run}
	p.kernels[Q5_0] = &kernel{what: what, form: formBias16, per: 32, run: q50.Run}
	p.kernels[Q5_1] = &kernel{what: what, form: formSum, per: 32, run: q51.Run}
	p.kernels[Q4_K] = &kernel{what: what, form: formSum, per: 256, run: q4k.Run}
	p.kernels[Q5_K] = &kernel{what: what, form: formSum, per: 256, run: q5k.Run}
	p.kernels[Q6_K] = &kernel{what: what, form: formHalves32, per: 256, run: q6k.Run}
	p.kernels[I8] = &kernel{what: dot + own, form: formOwn, per: pure.OwnBlock, run: i8.Run}
	p.kernels[I4] = &kernel{what: dot + own, form: formOwn, per: pure.OwnBlock, run: i4.Run}
	if fs.has(featI8MM) {
		p.kernels[Q8_0] = &kernel{what: "USDOT" + int8, form: formBias128, per: 32, run: neon.MixedQ8_0.Run}
		p.kernels[I8] = &kernel{what: "USDOT" + own, form: formOwn, per: pure.OwnBlock, run: neon.MixedI8.Run}
	}
	return p
}
