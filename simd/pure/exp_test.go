package pure

import (
	"math"
	"testing"
)

// ulps is the distance of got from want in units of float32 at want.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	unit := float64(math.Nextafter32(w, float32(math.Inf(1)))) - float64(w)
	return math.Abs(float64(got)-want) / unit
}

func TestExp(t *testing.T) {
	worst := 0.0
	for x := float32(-87.3); x < 88.72; x += 0.00131 {
		worst = max(worst, ulps(Exp(x), math.Exp(float64(x))))
	}
	for b := uint32(0); b < 0x3f800000; b += 99991 { // around 0
		x := math.Float32frombits(b)
		worst = max(worst, ulps(Exp(x), math.Exp(float64(x))), ulps(Exp(-x), math.Exp(-float64(x))))
	}
	t.Logf("worst error %.2f ulp", worst)
	if worst > 2 {
		t.Errorf("error %.2f ulp, the comment says 2", worst)
	}
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Copysign(0, -1)), 1}, {inf, inf}, {-inf, 0}, {1000, inf}, {-1000, 0}, {88.8, inf}, {-88, 0},
	} {
		if got := Exp(c.x); got != c.want {
			t.Errorf("Exp(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if got := Exp(float32(math.NaN())); got == got {
		t.Errorf("Exp(NaN) = %v", got)
	}
	if got := Exp(88.72283); math.IsInf(float64(got), 0) || got < 3.4e38 {
		t.Errorf("Exp(88.72283) = %v, want just below the largest float32", got)
	}
}

func TestSoftmax(t *testing.T) {
	r := newRand()
	lengths(func(n, offset int) {
		x, intact := guarded(n, offset)
		for i := range x {
			x[i] = float32(20 * r.NormFloat64())
		}
		want, sum, top := make([]float64, n), 0.0, math.Inf(-1)
		for _, v := range x {
			top = max(top, float64(v))
		}
		for i, v := range x {
			want[i] = math.Exp(float64(v - float32(top))) // the difference is rounded first
			sum += want[i]
		}
		Softmax(x)
		for i := range want {
			if d := math.Abs(float64(x[i]) - want[i]/sum); d > 1e-6*want[i]/sum+1e-37 {
				t.Fatalf("softmax of %d: element %d is %v, want %v", n, i, x[i], want[i]/sum)
			}
		}
		if !intact() {
			t.Fatalf("Softmax of %d wrote outside x", n)
		}
	})
	huge := []float32{3e38, 3e38, -3e38}
	Softmax(huge)
	checkSame(t, "Softmax of huge numbers", 3, huge, []float32{0.5, 0.5, 0})
	nan := []float32{1, float32(math.NaN()), 2}
	Softmax(nan)
	if nan[0] == nan[0] || nan[2] == nan[2] {
		t.Errorf("a NaN got lost: %v", nan)
	}
}

func TestSiLUMul(t *testing.T) {
	r := newRand()
	lengths(func(n, offset int) {
		gate, up := random(r, n, offset), random(r, n, (offset+1)%4)
		for i := range gate {
			gate[i] *= 10
		}
		dst, intact := guarded(n, offset)
		SiLUMul(dst, gate, up)
		for i, g := range gate {
			want := float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i])
			if d := math.Abs(float64(dst[i]) - want); d > 1e-6*math.Abs(want)+1e-37 {
				t.Fatalf("SiLUMul of %d: element %d is %v, want %v", n, i, dst[i], want)
			}
		}
		if !intact() {
			t.Fatalf("SiLUMul of %d wrote outside dst", n)
		}
		SiLUMul(gate, gate, up)
		checkSame(t, "SiLUMul in place", n, gate, dst)
	})
	for _, c := range []struct{ gate, want float32 }{{-200, 0}, {200, 200}, {-3e38, 0}, {3e38, 3e38}} {
		got := []float32{0}
		SiLUMul(got, []float32{c.gate}, []float32{1})
		if got[0] != c.want {
			t.Errorf("silu(%v) = %v, want %v", c.gate, got[0], c.want)
		}
	}
}
