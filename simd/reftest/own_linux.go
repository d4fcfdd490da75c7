package reftest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llama-go/llama-go/simd/pure"
)

// OwnVectors are a unit's kernels for the project's own formats.
type OwnVectors struct {
	Hadamard    func(dst, src []float32)
	QuantizeOwn func(dst []byte, x []float32)
	SumFit      func(fit *pure.Fit, w []float32, d, m, factor float32)
}

// Test tests that every kernel has the exact bits of its definition, on slices that
// end at guard pages.
func (v *OwnVectors) Test(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for n := 64; n <= 64*13; n += 64 {
		x, dst := row(t, r, n), Guarded[float32](t, n)
		switch n / 64 % 4 {
		case 1:
			x[r.IntN(n)] = 1e30
		case 2:
			clear(x[:64*(n/128)])
		}
		v.Hadamard(dst, x)
		checkRow(t, "Hadamard", dst, turned(x))
		pured := append([]float32(nil), x...)
		pure.Hadamard(pured)
		checkRow(t, "pure.Hadamard", pured, dst)

		want := ownGroups(x, n)
		got := Guarded[byte](t, len(want))
		v.QuantizeOwn(got, x)
		if !bytes.Equal(got, want) {
			t.Fatalf("QuantizeOwn of %d: % x\nwant % x", n, got, want)
		}

		v.Hadamard(x, x)
		checkRow(t, "Hadamard in place", x, dst)

		for _, line := range [][3]float32{{0.3, -2, 1 / 0.3}, {0, 0, math.MaxFloat32}, {1, 1, 1}, {1e-3, -1, 1e3}, {nan, 0, nan}} {
			var got, want pure.Fit
			v.SumFit(&got, x, line[0], line[1], line[2])
			pure.SumFit(&want, x, line[0], line[1], line[2])
			if got != want && !(got.Error != got.Error && want.Error != want.Error) {
				t.Fatalf("SumFit of %d with %v is %v, want %v", n, line, got, want)
			}
		}
	}
}

// NoNumber tests that a group that holds a NaN has no finite scale.
func (v *OwnVectors) NoNumber(t *testing.T) {
	for n := 64; n <= 64*5; n += 64 {
		for at := range n {
			x := make([]float32, n)
			x[at] = nan
			dst := make([]byte, (n+255)/256*64+n)
			v.QuantizeOwn(dst, x)
			if s := float(dst[at/256*320:], 0); s == s {
				t.Fatalf("a NaN at %d of %d: scale %v", at, n, s)
			}
		}
	}
}
