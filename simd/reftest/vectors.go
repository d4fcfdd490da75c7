//go:build linux

package reftest

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
	x := Guarded[float32](t, n)
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

// Vectors are a unit's kernels on one row of activations.
type Vectors struct {
	Add                         func(dst, x []float32)
	RMSNorm                     func(dst, x, w []float32, eps float64)
	Softmax                     func(x []float32, scale float32)
	SiLUMul                     func(dst, gate, up []float32)
	RopeHalves, RopeInterleaved func(x, cos, sin []float32)
	QuantizeBias                func(dst []byte, x []float32, bias int)
	QuantizeSum                 func(dst []byte, x []float32)
	QuantizeHalves              func(dst []byte, x []float32, bias int)
	ToF16                       func(dst []uint16, x []float32)
	Prefetch                    func(p []byte)
}

// Test tests that every kernel has the exact bits of its loop for all short
// lengths and some long ones, on slices that end at guard pages.
func (v *Vectors) Test(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"AddAndRMSNorm", v.addAndRMSNorm},
		{"SoftmaxAndSiLU", v.softmaxAndSiLU},
		{"NaNStays", v.nanStays},
		{"Rope", v.rope},
		{"Quantize", v.quantize},
		{"Prefetch", v.prefetch},
		{"ToF16", v.toF16},
	} {
		t.Run(c.name, c.test)
	}
}

func checkRow(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s of %d: element %d is %v, want %v", what, len(want), i, got[i], want[i])
		}
	}
}

func (v *Vectors) addAndRMSNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	lengths(func(n int) {
		x, y, w := row(t, r, n), row(t, r, n), row(t, r, n)
		want := append([]float32(nil), x...)
		pure.Add(want, y)
		v.Add(x, y)
		checkRow(t, "Add", x, want)

		var s [16]float32
		for i, v := range x {
			s[i%16] = fma32(v, v, s[i%16])
		}
		scale := float32(1 / math.Sqrt(float64(fold(s))/float64(n)+1e-5))
		for i := range want {
			want[i] = float32(x[i]*scale) * w[i]
		}
		v.RMSNorm(x, x, w, 1e-5)
		checkRow(t, "RMSNorm", x, want)
	})
}

func (v *Vectors) softmaxAndSiLU(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	lengths(func(n int) {
		x, up := row(t, r, n), row(t, r, n)
		for i := range x {
			x[i] *= []float32{1, 8, 60, 1e-8}[r.IntN(4)]
		}
		want, top := make([]float32, n), -inf
		for i := range x {
			want[i] = x[i] * 0.7
			top = max(top, want[i])
		}
		var s [16]float32
		for i := range want {
			want[i] = exp(want[i] - top)
			s[i%16] += want[i]
		}
		scale := 1 / fold(s)
		for i := range want {
			want[i] *= scale
		}
		got := Guarded[float32](t, n)
		copy(got, x)
		v.Softmax(got, 0.7)
		checkRow(t, "Softmax", got, want)

		for i, g := range x {
			want[i] = g / (1 + exp(-g)) * up[i]
		}
		v.SiLUMul(got, x, up)
		checkRow(t, "SiLUMul", got, want)
	})
}

// What is no number stays none, wherever it is.
func (v *Vectors) nanStays(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{32, 64, 96} {
		for at := range n {
			x := row(t, r, n)
			x[at] = nan
			y := append([]float32(nil), x...)
			v.Softmax(y, 1)
			for i, v := range y {
				if v == v {
					t.Fatalf("Softmax with a NaN at %d of %d: element %d is %v", at, n, i, v)
				}
			}
			v.SiLUMul(y, x, row(t, r, n))
			if y[at] == y[at] {
				t.Fatalf("SiLU of a NaN is %v", y[at])
			}
			dst := make([]byte, n/32*BlockBytes)
			for _, bad := range []float32{nan, inf, -inf} {
				x[at] = bad
				v.QuantizeBias(dst, x, -8)
				if scale := float(dst[at/32*BlockBytes:], 0); scale-scale == 0 {
					t.Fatalf("a block with %v has scale %v", bad, scale)
				}
			}
		}
	}
}

func (v *Vectors) rope(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for n := 1; n <= 70; n++ {
		x, cos, sin := row(t, r, 2*n), row(t, r, n), row(t, r, n)
		want, pairs := make([]float32, 2*n), Guarded[float32](t, 2*n)
		for i := range n {
			a, b := x[i], x[i+n]
			pairs[2*i], pairs[2*i+1] = a, b
			want[i] = fma32(a, cos[i], -(b * sin[i]))
			want[i+n] = fma32(b, cos[i], a*sin[i])
		}
		v.RopeHalves(x, cos, sin)
		checkRow(t, "RopeHalves", x, want)
		v.RopeInterleaved(pairs, cos, sin)
		for i := range n {
			checkRow(t, "RopeInterleaved", pairs[2*i:][:2], []float32{want[i], want[i+n]})
		}
	}
}

func (v *Vectors) quantize(t *testing.T) {
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
			dst := Guarded[byte](t, blocks*BlockBytes)
			if q.minima {
				v.QuantizeSum(dst, x)
			} else {
				v.QuantizeBias(dst, x, -q.bias)
			}
			if !q.minima {
				halves := Guarded[byte](t, blocks*(BlockBytes+4))
				v.QuantizeHalves(halves, x, -q.bias)
				if want := q.halves(x, 32*blocks); !bytes.Equal(halves, want) {
					t.Fatalf("halves, %+v, %d blocks of %v:\n% x, want\n% x", q, blocks, x, halves, want)
				}
			}
			if want := q.quantized(x, 32*blocks); !bytes.Equal(dst, want) {
				t.Fatalf("%+v, %d blocks of %v:\n% x, want\n% x", q, blocks, x, dst, want)
			}
		}
	}
}

// A prefetch beyond what may be read is no fault.
func (v *Vectors) prefetch(t *testing.T) {
	for _, n := range []int{0, 1, 64, 4096} {
		v.Prefetch(Guarded[byte](t, n+1)[1:])
	}
}

func (v *Vectors) toF16(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	lengths(func(n int) {
		x := row(t, r, n)
		for i := range x {
			x[i] *= []float32{1, 1e-6, 7e4, 1e-42, inf, 0}[r.IntN(6)]
		}
		f16 := Guarded[uint16](t, n)
		v.ToF16(f16, x)
		for i, x := range x {
			if f16[i] != toHalf(x) && x == x {
				t.Fatalf("ToF16(%v) is %#x, want %#x", x, f16[i], toHalf(x))
			}
		}
	})
}

// ToBF16 tests the rounding of a multiple of 16 numbers.
func ToBF16(t *testing.T, toBF16 func(dst []uint16, x []float32)) {
	r := rand.New(rand.NewPCG(15, 16))
	for n := 16; n <= 160; n += 16 {
		x := row(t, r, n)
		for i := range x {
			x[i] *= []float32{1, 1e-6, 7e4, 1e-42, inf, 0}[r.IntN(6)]
		}
		bf16 := Guarded[uint16](t, n)
		toBF16(bf16, x)
		for i, v := range x {
			if bf16[i] != roundBF16(v) {
				t.Fatalf("ToBF16(%v) is %#x, want %#x", v, bf16[i], roundBF16(v))
			}
		}
	}
}
