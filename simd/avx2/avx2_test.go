//go:build amd64 && linux && !purego

package avx2

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/klauspost/cpuid/v2"

	"github.com/llama-go/llama-go/simd/pure"
	"github.com/llama-go/llama-go/simd/reftest"
)

// needAVX2 skips where the processor or the user says no.
func needAVX2(t testing.TB) {
	t.Helper()
	off := os.Getenv("LLAMA_GO_DISABLE")
	if !cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) || strings.Contains(off, "avx2") || off == "all" {
		t.Skip("no AVX2")
	}
}

var tiles = []reftest.Tile{
	{Kind: reftest.F32, Run: F32.Run},
	{Kind: reftest.F16, Run: F16.Run},
	{Kind: reftest.BF16, Run: BF16.Run},
	{Kind: reftest.ExactQ8_0, Run: ExactQ8_0.Run},
	{Kind: reftest.ExactQ4_0, Run: ExactQ4_0.Run},
	{Kind: reftest.ExactQ4_1, Run: ExactQ4_1.Run},
	{Kind: reftest.Int8Q8_0, Run: Int8Q8_0.Run},
	{Kind: reftest.Int8Q4_0, Run: Int8Q4_0.Run},
	{Kind: reftest.Int8Q4_1, Run: Int8Q4_1.Run},
	{Kind: reftest.ExactQ5_0, Run: ExactQ5_0.Run},
	{Kind: reftest.Int8Q5_0, Run: Int8Q5_0.Run},
	{Kind: reftest.ExactQ5_1, Run: ExactQ5_1.Run},
	{Kind: reftest.Int8Q5_1, Run: Int8Q5_1.Run},
	{Kind: reftest.ExactQ4_K, Run: ExactQ4_K.Run},
	{Kind: reftest.Int8Q4_K, Run: Int8Q4_K.Run},
	{Kind: reftest.ExactQ5_K, Run: ExactQ5_K.Run},
	{Kind: reftest.Int8Q5_K, Run: Int8Q5_K.Run},
	{Kind: reftest.ExactQ6_K, Run: ExactQ6_K.Run},
	{Kind: reftest.Int8Q6_K, Run: Int8Q6_K.Run},
	{Kind: reftest.ExactI8, Run: ExactI8.Run},
	{Kind: reftest.ExactI4, Run: ExactI4.Run},
	{Kind: reftest.Int8I8, Run: Int8I8.Run},
	{Kind: reftest.Int8I4, Run: Int8I4.Run},
}

// wideTiles are those of two panels.
func wideTiles() []reftest.WideTile {
	return []reftest.WideTile{
		{Kind: reftest.F32, MaxRows: MaxWideRows, Run: F32Wide.Run},
		{Kind: reftest.F16, MaxRows: MaxWideRows, Run: F16Wide.Run},
		{Kind: reftest.BF16, MaxRows: MaxWideRows, Run: BF16Wide.Run},
		{Kind: reftest.ExactQ8_0, MaxRows: MaxWideRows, Run: ExactQ8_0Wide.Run},
		{Kind: reftest.ExactQ4_0, MaxRows: MaxWideRows, Run: ExactQ4_0Wide.Run},
		{Kind: reftest.ExactQ4_1, MaxRows: MaxWideRows, Run: ExactQ4_1Wide.Run},
	}
}

func TestWideTiles(t *testing.T) {
	needAVX2(t)
	reftest.WideTiles(t, wideTiles())
}

func BenchmarkWideTiles(b *testing.B) {
	needAVX2(b)
	reftest.BenchmarkWideTiles(b, wideTiles())
}

func TestTiles(t *testing.T) {
	needAVX2(t)
	reftest.Tiles(t, tiles)
}

func FuzzTiles(f *testing.F) {
	needAVX2(f)
	reftest.FuzzTiles(f, tiles)
}

func BenchmarkTiles(b *testing.B) {
	needAVX2(b)
	reftest.BenchmarkTiles(b, tiles, 1, 2, 3, 4, 6, 8, 12, 16, 64)
}

func TestVectors(t *testing.T) {
	needAVX2(t)
	v := reftest.Vectors{
		Add: Add, RMSNorm: RMSNorm, Softmax: Softmax, SiLUMul: SiLUMul,
		RopeHalves: RopeHalves, RopeInterleaved: RopeInterleaved,
		QuantizeBias: QuantizeBias, QuantizeSum: QuantizeSum, QuantizeHalves: QuantizeHalves, ToF16: ToF16, Prefetch: Prefetch,
	}
	v.Test(t)
}

func TestOwnVectors(t *testing.T) {
	needAVX2(t)
	v := reftest.OwnVectors{Hadamard: Hadamard, QuantizeOwn: QuantizeOwn,
		SumFit: func(fit *pure.Fit, w []float32, d, m, factor float32) {
			SumFit((*[5]float32)(unsafe.Pointer(fit)), w, &[3]float32{d, m, factor})
		}}
	t.Run("Bits", v.Test)
	t.Run("NoNumber", v.NoNumber)
}
