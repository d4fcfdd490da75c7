//go:build amd64 && !purego

package simd

import (
	"unsafe"

	"github.com/klauspost/cpuid/v2"

	"github.com/llama-go/llama-go/simd/avx2"
	"github.com/llama-go/llama-go/simd/avx512"
	"github.com/llama-go/llama-go/simd/peak"
	"github.com/llama-go/llama-go/simd/pure"
)

// avx512Unit has the kernels of package avx512.
func avx512Unit(fs features, vendor cpuid.Vendor) *unit {
	return &unit{
		name: "AVX-512",
		dot:  pure.Dot, dot2: pure.Dot2, dot3: pure.Dot3,
		add: avx512.Add, rmsNorm: avx512.RMSNorm, softmax: avx512.Softmax, siluMul: avx512.SiLUMul,
		weightedSum: pure.WeightedSum, ropeHalves: avx512.RopeHalves, ropeInterleaved: avx512.RopeInterleaved,
		rows: pureUnit.rows,
		turn: avx512.Hadamard,
		sumFit: func(fit *pure.Fit, w []float32, d, m, factor float32) {
			avx512.SumFit((*[5]float32)(unsafe.Pointer(fit)), w, &[3]float32{d, m, factor})
		},
		plan: func(fast bool) *Plan { return avx512Plan(fs, vendor, fast) },
		convert: converters{bias: avx512.QuantizeBias, halves: avx512.QuantizeHalves, sum: avx512.QuantizeSum, own: avx512.QuantizeOwn,
			bf16: avx512.ToBF16},
		toF16:    avx512.ToF16,
		prefetch: avx512.Prefetch,
		read:     peak.Read512,
	}
}

// decodeRows is from how many rows on decoding a panel once for all pays.
const decodeRows = 24

// sharing runs tiles; for many rows it decodes by d, which has their bits, and
// multiplies panels of float32.
func sharing(tiles *avx512.Tiles, d *avx2.Decoded) func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	return func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
		if rows < decodeRows {
			tiles.Run(rows, n, x, w, c, lda, ldc, accumulate)
		} else {
			d.RunBy(avx512.F32.Run, rows, n, x, w, c, lda, ldc, accumulate)
		}
	}
}

// avx512Plan chooses tiles. VDPBF16PS is used on AMD alone: elsewhere it is half
// as fast as widening and FMA. AMX is used on Intel alone, where it was measured.
func avx512Plan(fs features, vendor cpuid.Vendor, fast bool) *Plan {
	const fma, vnni, pairs = "FMA, float32 activations", "VNNI, int8 activations in blocks of 32", "VDPBF16PS, bfloat16 activations"
	const turned, own = "FMA, turned float32 activations", "VNNI, turned int8 activations in groups of 256"
	p := &Plan{Fast: fast}
	p.kernels = [numTypes]*kernel{
		F32:  {what: fma, per: 1, run: avx512.F32.Run, wide: avx512.F32Wide.Run, any: true, lone: true},
		F16:  {what: fma, per: 1, run: avx512.F16.Run, wide: avx512.F16Wide.Run, any: true, lone: true},
		BF16: {what: fma, per: 1, run: avx512.BF16.Run, wide: avx512.BF16Wide.Run, lone: true},
		Q8_0: {what: fma, per: 32, run: sharing(&avx512.ExactQ8_0, &avx2.ExactQ8_0), wide: avx512.ExactQ8_0Wide.Run},
		Q4_0: {what: fma, per: 32, run: sharing(&avx512.ExactQ4_0, &avx2.ExactQ4_0), wide: avx512.ExactQ4_0Wide.Run},
		Q4_1: {what: fma, per: 32, run: sharing(&avx512.ExactQ4_1, &avx2.ExactQ4_1), wide: avx512.ExactQ4_1Wide.Run},
		Q5_0: {what: fma, per: 32, run: sharing(&avx512.ExactQ5_0, &avx2.ExactQ5_0), wide: avx512.ExactQ5_0Wide.Run},
		Q5_1: {what: fma, per: 32, run: sharing(&avx512.ExactQ5_1, &avx2.ExactQ5_1), wide: avx512.ExactQ5_1Wide.Run},
		Q4_K: {what: fma, per: 256, run: sharing(&avx512.ExactQ4_K, &avx2.ExactQ4_K), wide: avx512.ExactQ4_KWide.Run},
		Q5_K: {what: fma, per: 256, run: sharing(&avx512.ExactQ5_K, &avx2.ExactQ5_K), wide: avx512.ExactQ5_KWide.Run},
		Q6_K: {what: fma, per: 256, run: sharing(&avx512.ExactQ6_K, &avx2.ExactQ6_K), wide: avx512.ExactQ6_KWide.Run},
		I8:   {what: turned, form: formTurned, per: pure.OwnBlock, run: sharing(&avx512.ExactI8, &avx2.ExactI8), wide: avx512.ExactI8Wide.Run},
		I4:   {what: turned, form: formTurned, per: pure.OwnBlock, run: sharing(&avx512.ExactI4, &avx2.ExactI4), wide: avx512.ExactI4Wide.Run},
	}
	p.kv = &kernel{what: fma, per: 1, run: avx512.F32.Run, wide: avx512.F32Wide.Run, any: true}
	if !fast {
		return p
	}
	p.kv = &kernel{what: fma, per: 1, half: true, run: avx512.F16.Run, wide: avx512.F16Wide.Run, any: true}
	switch {
	case fs.has(featVNNI):
		p.kernels[Q8_0] = &kernel{what: vnni, form: formBias128, per: 32, run: avx512.Int8Q8_0.Run}
		p.kernels[Q4_0] = &kernel{what: vnni, form: formBias8, per: 32, run: avx512.Int8Q4_0.Run}
		p.kernels[Q4_1] = &kernel{what: vnni, form: formSum, per: 32, run: avx512.Int8Q4_1.Run}
		p.kernels[Q5_0] = &kernel{what: vnni, form: formBias16, per: 32, run: avx512.Int8Q5_0.Run}
		p.kernels[Q5_1] = &kernel{what: vnni, form: formSum, per: 32, run: avx512.Int8Q5_1.Run}
		p.kernels[Q4_K] = &kernel{what: vnni, form: formSum, per: 256, run: avx512.Int8Q4_K.Run}
		p.kernels[Q5_K] = &kernel{what: vnni, form: formSum, per: 256, run: avx512.Int8Q5_K.Run}
		p.kernels[Q6_K] = &kernel{what: vnni, form: formHalves32, per: 256, run: avx512.Int8Q6_K.Run}
		p.kernels[I8] = &kernel{what: own, form: formOwn, per: pure.OwnBlock, run: avx512.Int8I8.Run}
		p.kernels[I4] = &kernel{what: own, form: formOwn, per: pure.OwnBlock, run: avx512.Int8I4.Run}
	default:
		p.why = append(p.why, "no VNNI: quantized types as in exact mode")
	}
	switch {
	case fs.has(featAMX) && vendor == cpuid.Intel:
		amxPlan(p, fs)
	case !fs.has(featAVX5BF16):
		p.why = append(p.why, "no AVX512_BF16: BF16 as in exact mode")
	case vendor != cpuid.AMD:
		p.why = append(p.why, "BF16 as in exact mode: VDPBF16PS is slower than FMA on this processor")
	default:
		p.kernels[BF16] = &kernel{what: pairs, form: formBF16, per: 1, run: avx512.BF16Pairs.Run}
	}
	return p
}
