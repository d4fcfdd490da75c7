//go:build arm64 && linux && !purego

package neon

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/klauspost/cpuid/v2"

	"github.com/llama-go/llama-go/simd/pure"
	"github.com/llama-go/llama-go/simd/reftest"
)

// need skips where the user says no.
func need(t testing.TB) {
	t.Helper()
	if off := os.Getenv("LLAMA_GO_DISABLE"); strings.Contains(off, "neon") || off == "all" {
		t.Skip("NEON is switched off")
	}
}

// tiles are those that this processor has.
func tiles() []reftest.Tile {
	mull := func(k reftest.Kind) reftest.Kind {
		k.Name = strings.Replace(k.Name, "Int8", "Mull", 1)
		return k
	}
	all := []reftest.Tile{
		{Kind: reftest.F32, Run: F32.Run},
		{Kind: reftest.F16, Run: F16.Run},
		{Kind: reftest.BF16, Run: BF16.Run},
		{Kind: reftest.ExactQ8_0, Run: ExactQ8_0.Run},
		{Kind: reftest.ExactQ4_0, Run: ExactQ4_0.Run},
		{Kind: reftest.ExactQ4_1, Run: ExactQ4_1.Run},
		{Kind: reftest.ExactQ5_0, Run: ExactQ5_0.Run},
		{Kind: reftest.ExactQ5_1, Run: ExactQ5_1.Run},
		{Kind: reftest.ExactQ4_K, Run: ExactQ4_K.Run},
		{Kind: reftest.ExactQ5_K, Run: ExactQ5_K.Run},
		{Kind: reftest.ExactQ6_K, Run: ExactQ6_K.Run},
		{Kind: reftest.ExactI8, Run: ExactI8.Run},
		{Kind: reftest.ExactI4, Run: ExactI4.Run},
		{Kind: mull(reftest.Int8I8), Run: MullI8.Run},
		{Kind: mull(reftest.Int8I4), Run: MullI4.Run},
		{Kind: mull(reftest.Int8Q8_0), Run: MullQ8_0.Run},
		{Kind: mull(reftest.Int8Q4_0), Run: MullQ4_0.Run},
		{Kind: mull(reftest.Int8Q4_1), Run: MullQ4_1.Run},
		{Kind: mull(reftest.Int8Q5_0), Run: MullQ5_0.Run},
		{Kind: mull(reftest.Int8Q5_1), Run: MullQ5_1.Run},
		{Kind: mull(reftest.Int8Q4_K), Run: MullQ4_K.Run},
		{Kind: mull(reftest.Int8Q5_K), Run: MullQ5_K.Run},
		{Kind: mull(reftest.Int8Q6_K), Run: MullQ6_K.Run},
	}
	if cpuid.CPU.Supports(cpuid.ASIMDDP) {
		all = append(all,
			reftest.Tile{Kind: reftest.Int8I8, Run: Int8I8.Run},
			reftest.Tile{Kind: reftest.Int8I4, Run: Int8I4.Run},
			reftest.Tile{Kind: reftest.Int8Q8_0, Run: Int8Q8_0.Run},
			reftest.Tile{Kind: reftest.Int8Q4_0, Run: Int8Q4_0.Run},
			reftest.Tile{Kind: reftest.Int8Q4_1, Run: Int8Q4_1.Run},
			reftest.Tile{Kind: reftest.Int8Q5_0, Run: Int8Q5_0.Run},
			reftest.Tile{Kind: reftest.Int8Q5_1, Run: Int8Q5_1.Run},
			reftest.Tile{Kind: reftest.Int8Q4_K, Run: Int8Q4_K.Run},
			reftest.Tile{Kind: reftest.Int8Q5_K, Run: Int8Q5_K.Run},
			reftest.Tile{Kind: reftest.Int8Q6_K, Run: Int8Q6_K.Run})
	}
	if cpuid.CPU.Supports(cpuid.I8MM) {
		mixed, own := reftest.Int8Q8_0, reftest.Int8I8
		mixed.Name, own.Name = "MixedQ8_0", "MixedI8"
		all = append(all, reftest.Tile{Kind: mixed, Run: MixedQ8_0.Run}, reftest.Tile{Kind: own, Run: MixedI8.Run})
	}
	return all
}

func TestTiles(t *testing.T) {
	need(t)
	reftest.Tiles(t, tiles())
}

// A panel is widened in parts where it is long: the chains go on over them.
func TestLongTiles(t *testing.T) {
	need(t)
	reftest.LongTiles(t, tiles())
}

func TestWideTiles(t *testing.T) {
	need(t)
	reftest.WideTiles(t, []reftest.WideTile{
		{Kind: reftest.F32, MaxRows: 3, Run: F32Wide.Run},
		{Kind: reftest.F16, MaxRows: 3, Run: F16Wide.Run},
		{Kind: reftest.BF16, MaxRows: 3, Run: BF16Wide.Run},
	})
}

func FuzzTiles(f *testing.F) {
	need(f)
	reftest.FuzzTiles(f, tiles())
}

func BenchmarkTiles(b *testing.B) {
	need(b)
	reftest.BenchmarkTiles(b, tiles(), 1, 2, 3, 4, 8, 16, 64)
}

func TestVectors(t *testing.T) {
	need(t)
	v := reftest.Vectors{
		Add: Add, RMSNorm: RMSNorm, Softmax: Softmax, SiLUMul: SiLUMul,
		RopeHalves: RopeHalves, RopeInterleaved: RopeInterleaved,
		QuantizeBias: QuantizeBias, QuantizeSum: QuantizeSum, QuantizeHalves: QuantizeHalves,
		ToF16: ToF16, Prefetch: Prefetch,
	}
	v.Test(t)
}

func TestOwnVectors(t *testing.T) {
	need(t)
	v := reftest.OwnVectors{Hadamard: Hadamard, QuantizeOwn: QuantizeOwn,
		SumFit: func(fit *pure.Fit, w []float32, d, m, factor float32) {
			SumFit((*[5]float32)(unsafe.Pointer(fit)), w, &[3]float32{d, m, factor})
		}}
	t.Run("Bits", v.Test)
	t.Run("NoNumber", v.NoNumber)
}
