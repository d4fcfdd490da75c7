//go:build amd64 && linux && !purego

package avx512

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llama-go/llama-go/simd/pure"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// row is n standard normal values that end at a guard page.
func row(t testing.TB, r *rand.Rand, n int) []float32 {
	x := guarded[float32](t, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// lengths calls f for all short lengths and some long ones.
func lengths(f func(n int)) {
	for n := 1; n <= 70; n++ {
		f(n)
	}
	for _, n := range []int{576, 1536, 2049} {
		f(n)
	}
}

func close32(got, want float32, ulps float64) bool {
	if got == want || got != got && want != want {
		return true
	}
	return math.Abs(float64(got)-float64(want)) <= ulps*0x1p-23*math.Abs(float64(want))
}

func checkRow(t *testing.T, what string, got, want []float32, ulps float64) {
	t.Helper()
	for i := range want {
		if !close32(got[i], want[i], ulps) {
			t.Fatalf("%s of %d: element %d is %v, want %v", what, len(want), i, got[i], want[i])
		}
	}
}

// fold adds 16 lanes as the kernels do.
func fold(s [16]float32) float32 {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[i+half]
		}
	}
	return s[0]
}

func TestAddAndRMSNorm(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(3, 4))
	lengths(func(n int) {
		x, y, w := row(t, r, n), row(t, r, n), row(t, r, n)
		want := append([]float32(nil), x...)
		pure.Add(want, y)
		Add(x, y)
		checkRow(t, "Add", x, want, 0)

		var s [16]float32
		for i, v := range x {
			s[i%16] = fma32(v, v, s[i%16])
		}
		scale := float32(1 / math.Sqrt(float64(fold(s))/float64(n)+1e-5))
		for i := range want {
			want[i] = float32(x[i]*scale) * w[i]
		}
		RMSNorm(x, x, w, 1e-5)
		checkRow(t, "RMSNorm", x, want, 0)
	})
}

// The exponential is within 3 ulp of pure's, and so are what it is used for.
func TestSoftmaxAndSiLU(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(5, 6))
	lengths(func(n int) {
		x, up := row(t, r, n), row(t, r, n)
		for i := range x {
			x[i] *= 8
		}
		want, sum, top := make([]float64, n), 0.0, math.Inf(-1)
		for _, v := range x {
			top = max(top, float64(v*0.7))
		}
		for i, v := range x {
			want[i] = math.Exp(float64(v*0.7) - top)
			sum += want[i]
		}
		got := guarded[float32](t, n)
		copy(got, x)
		Softmax(got, 0.7)
		for i := range want {
			if w := float32(want[i] / sum); !close32(got[i], w, 24) {
				t.Fatalf("Softmax of %d: element %d is %v, want %v", n, i, got[i], w)
			}
		}
		SiLUMul(got, x, up)
		for i, g := range x {
			if w := float32(float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i])); !close32(got[i], w, 6) {
				t.Fatalf("SiLUMul of %d: element %d is %v, want %v", n, i, got[i], w)
			}
		}
	})
}

// What is no number stays none, wherever it is.
func TestNaNStays(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{32, 64, 96} {
		for at := range n {
			x := row(t, r, n)
			x[at] = nan
			y := append([]float32(nil), x...)
			Softmax(y, 1)
			for i, v := range y {
				if v == v {
					t.Fatalf("Softmax with a NaN at %d of %d: element %d is %v", at, n, i, v)
				}
			}
			SiLUMul(y, x, row(t, r, n))
			if y[at] == y[at] {
				t.Fatalf("SiLU of a NaN is %v", y[at])
			}
			dst := make([]byte, n/32*BlockBytes)
			for _, v := range []float32{nan, inf, -inf} {
				x[at] = v
				QuantizeBias(dst, x, -8)
				if scale := float(dst[at/32*BlockBytes:], 0); scale-scale == 0 {
					t.Fatalf("a block with %v has scale %v", v, scale)
				}
			}
		}
	}
}

func TestRope(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(9, 10))
	for n := 1; n <= 70; n++ {
		x, cos, sin := row(t, r, 2*n), row(t, r, n), row(t, r, n)
		want, pairs := make([]float32, 2*n), guarded[float32](t, 2*n)
		for i := range n {
			a, b := x[i], x[i+n]
			pairs[2*i], pairs[2*i+1] = a, b
			want[i] = fma32(a, cos[i], -(b * sin[i]))
			want[i+n] = fma32(b, cos[i], a*sin[i])
		}
		RopeHalves(x, cos, sin)
		checkRow(t, "RopeHalves", x, want, 0)
		RopeInterleaved(pairs, cos, sin)
		for i := range n {
			checkRow(t, "RopeInterleaved", pairs[2*i:][:2], []float32{want[i], want[i+n]}, 0)
		}
	}
}

func TestQuantize(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(11, 12))
	for blocks := 1; blocks <= 9; blocks++ {
		x := row(t, r, 32*blocks)
		for b := range blocks {
			scale := []float32{1, 0, 1e-30, 1e-38, 1e30, 1e-44, 3}[r.IntN(7)]
			for i := range 32 {
				x[32*b+i] *= scale
			}
		}
		for _, q := range []blockRef{{bias: 128}, {bias: 8}, {minima: true}} {
			dst := guarded[byte](t, blocks*BlockBytes)
			if q.minima {
				QuantizeSum(dst, x)
			} else {
				QuantizeBias(dst, x, -q.bias)
			}
			if want := q.quantized(x, 32*blocks); !bytes.Equal(dst, want) {
				t.Fatalf("%+v, %d blocks of %v:\n% x, want\n% x", q, blocks, x, dst, want)
			}
		}
	}
}

// A prefetch beyond what may be read is no fault.
func TestPrefetch(t *testing.T) {
	needAVX512(t)
	for _, n := range []int{0, 1, 64, 4096} {
		Prefetch(guarded[byte](t, n+1)[1:])
	}
}

func TestRounding(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(13, 14))
	lengths(func(n int) {
		x := row(t, r, n)
		for i := range x {
			x[i] *= []float32{1, 1e-6, 7e4, 1e-42, inf, 0}[r.IntN(6)]
		}
		f16 := guarded[uint16](t, n)
		ToF16(f16, x)
		for i, v := range x {
			if f16[i] != toHalf(v) && v == v {
				t.Fatalf("ToF16(%v) is %#x, want %#x", v, f16[i], toHalf(v))
			}
		}
		if n%16 == 0 {
			bf16 := guarded[uint16](t, n)
			ToBF16(bf16, x)
			for i, v := range x {
				if bf16[i] != roundBF16(v) {
					t.Fatalf("ToBF16(%v) is %#x, want %#x", v, bf16[i], roundBF16(v))
				}
			}
		}
	})
}
