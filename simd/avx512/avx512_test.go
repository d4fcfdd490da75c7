//go:build amd64 && linux && !purego

package avx512

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/klauspost/cpuid/v2"

	"github.com/llama-go/llama-go/simd/pure"
	"github.com/llama-go/llama-go/simd/reftest"
)

// needAVX512 skips where the processor or the user says no.
func needAVX512(t testing.TB) {
	t.Helper()
	off := os.Getenv("LLAMA_GO_DISABLE")
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL) || strings.Contains(off, "avx") || off == "all" {
		t.Skip("no AVX-512")
	}
}

// tiles are those that this processor has.
func tiles() []reftest.Tile {
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
	}
	if cpuid.CPU.VendorID == cpuid.AMD && cpuid.CPU.Supports(cpuid.AVX512BF16) {
		all = append(all, reftest.Tile{Kind: reftest.BF16Pairs, Run: BF16Pairs.Run})
	}
	if cpuid.CPU.Supports(cpuid.AVX512VNNI) {
		all = append(all,
			reftest.Tile{Kind: reftest.Int8Q8_0, Run: Int8Q8_0.Run},
			reftest.Tile{Kind: reftest.Int8Q4_0, Run: Int8Q4_0.Run},
			reftest.Tile{Kind: reftest.Int8Q4_1, Run: Int8Q4_1.Run},
			reftest.Tile{Kind: reftest.Int8Q5_0, Run: Int8Q5_0.Run},
			reftest.Tile{Kind: reftest.Int8Q5_1, Run: Int8Q5_1.Run},
			reftest.Tile{Kind: reftest.Int8Q4_K, Run: Int8Q4_K.Run},
			reftest.Tile{Kind: reftest.Int8Q5_K, Run: Int8Q5_K.Run},
			reftest.Tile{Kind: reftest.Int8Q6_K, Run: Int8Q6_K.Run},
			reftest.Tile{Kind: reftest.Int8I8, Run: Int8I8.Run},
			reftest.Tile{Kind: reftest.Int8I4, Run: Int8I4.Run})
	}
	return all
}

// wideTiles are those of two panels.
func wideTiles() []reftest.WideTile {
	return []reftest.WideTile{
		{Kind: reftest.F32, MaxRows: MaxRows, Run: F32Wide.Run},
		{Kind: reftest.F16, MaxRows: MaxRows, Run: F16Wide.Run},
		{Kind: reftest.BF16, MaxRows: MaxWideRows, Run: BF16Wide.Run},
		{Kind: reftest.ExactQ8_0, MaxRows: MaxWideRows, Run: ExactQ8_0Wide.Run},
		{Kind: reftest.ExactQ4_0, MaxRows: MaxWideRows, Run: ExactQ4_0Wide.Run},
		{Kind: reftest.ExactQ4_1, MaxRows: MaxWideRows, Run: ExactQ4_1Wide.Run},
		{Kind: reftest.ExactQ5_0, MaxRows: MaxWideRows, Run: ExactQ5_0Wide.Run},
		{Kind: reftest.ExactQ5_1, MaxRows: MaxWideRows, Run: ExactQ5_1Wide.Run},
		{Kind: reftest.ExactQ4_K, MaxRows: MaxWideRows, Run: ExactQ4_KWide.Run},
		{Kind: reftest.ExactQ5_K, MaxRows: MaxWideRows, Run: ExactQ5_KWide.Run},
		{Kind: reftest.ExactQ6_K, MaxRows: MaxWideRows, Run: ExactQ6_KWide.Run},
		{Kind: reftest.ExactI8, MaxRows: MaxWideRows, Run: ExactI8Wide.Run},
		{Kind: reftest.ExactI4, MaxRows: MaxWideRows, Run: ExactI4Wide.Run},
	}
}

func TestWideTiles(t *testing.T) {
	needAVX512(t)
	reftest.WideTiles(t, wideTiles())
}

func BenchmarkWideTiles(b *testing.B) {
	needAVX512(b)
	reftest.BenchmarkWideTiles(b, wideTiles())
}

func TestTiles(t *testing.T) {
	needAVX512(t)
	reftest.Tiles(t, tiles())
}

func FuzzTiles(f *testing.F) {
	needAVX512(f)
	reftest.FuzzTiles(f, tiles())
}

func BenchmarkTiles(b *testing.B) {
	needAVX512(b)
	reftest.BenchmarkTiles(b, tiles(), 1, 2, 3, 4, 8, 12, 16)
}

func TestVectors(t *testing.T) {
	needAVX512(t)
	v := reftest.Vectors{
		Add: Add, RMSNorm: RMSNorm, Softmax: Softmax, SiLUMul: SiLUMul,
		RopeHalves: RopeHalves, RopeInterleaved: RopeInterleaved,
		QuantizeBias: QuantizeBias, QuantizeSum: QuantizeSum, QuantizeHalves: QuantizeHalves, ToF16: ToF16, Prefetch: Prefetch,
	}
	v.Test(t)
}

func TestToBF16(t *testing.T) {
	needAVX512(t)
	if !cpuid.CPU.Supports(cpuid.AVX512BF16) {
		t.Skip("no AVX512_BF16")
	}
	reftest.ToBF16(t, ToBF16)
}

func TestOwnVectors(t *testing.T) {
	needAVX512(t)
	v := reftest.OwnVectors{Hadamard: Hadamard, QuantizeOwn: QuantizeOwn,
		SumFit: func(fit *pure.Fit, w []float32, d, m, factor float32) {
			SumFit((*[5]float32)(unsafe.Pointer(fit)), w, &[3]float32{d, m, factor})
		}}
	t.Run("Bits", v.Test)
	t.Run("NoNumber", v.NoNumber)
}
