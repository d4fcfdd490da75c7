package pure

import (
	"math"
	"testing"
)

func TestAdd(t *testing.T) {
	r := newRand()
	lengths(func(n, offset int) {
		dst, intact := guarded(n, offset)
		a, x := random(r, n, 0), random(r, n, (offset+1)%4)
		copy(dst, a)
		Add(dst, x)
		for i := range a {
			a[i] += x[i]
		}
		checkSame(t, "Add", n, dst, a)
		if !intact() {
			t.Fatalf("Add of %d wrote outside dst", n)
		}
	})
}

func TestRMSNorm(t *testing.T) {
	r := newRand()
	const eps = 1e-5
	lengths(func(n, offset int) {
		if n == 0 {
			return
		}
		dst, intact := guarded(n, offset)
		x, w := random(r, n, (offset+1)%4), random(r, n, (offset+2)%4)
		RMSNorm(dst, x, w, eps)
		if !intact() {
			t.Fatalf("RMSNorm of %d wrote outside dst", n)
		}
		var ss float64
		for _, v := range x {
			ss += float64(v) * float64(v)
		}
		scale := 1 / math.Sqrt(ss/float64(n)+eps)
		for i, v := range x {
			want := float64(v) * scale * float64(w[i])
			if d := math.Abs(float64(dst[i]) - want); d > 2e-6*math.Abs(want) {
				t.Fatalf("RMSNorm of %d: element %d is %v, want %v", n, i, dst[i], want)
			}
		}
		RMSNorm(x, x, w, eps)
		checkSame(t, "RMSNorm in place", n, x, dst)
	})
}

func TestWeightedSum(t *testing.T) {
	r := newRand()
	for _, n := range []int{1, 2, 7, 8, 64, 80} {
		for rows := range 67 {
			p, v := random(r, rows, rows%4), random(r, rows*n, 1)
			dst, intact := guarded(n, rows%4)
			want := random(r, n, 0)
			copy(dst, want)
			WeightedSum(dst, p, v)
			for row, a := range p {
				for i := range want {
					want[i] += float32(a * v[row*n+i])
				}
			}
			checkSame(t, "WeightedSum", rows, dst, want)
			if !intact() {
				t.Fatalf("WeightedSum of %d rows wrote outside dst", rows)
			}
		}
	}
}

func TestRope(t *testing.T) {
	r := newRand()
	for n := 1; n <= 64; n++ {
		cos, sin := make([]float32, n), make([]float32, n)
		for i := range cos {
			s, c := math.Sincos(r.Float64() * 100)
			cos[i], sin[i] = float32(c), float32(s)
		}
		x := random(r, 2*n, n%4)
		halves, intact := guarded(2*n, n%4)
		copy(halves, x)
		RopeHalves(halves, cos, sin)
		if !intact() {
			t.Fatalf("RopeHalves of %d wrote outside x", 2*n)
		}
		pairs, intact := guarded(2*n, n%4)
		for i := range n {
			pairs[2*i], pairs[2*i+1] = x[i], x[i+n]
		}
		RopeInterleaved(pairs, cos, sin)
		if !intact() {
			t.Fatalf("RopeInterleaved of %d wrote outside x", 2*n)
		}
		for i := range n {
			// A pair is a complex number that turns by the angle.
			z := complex(float64(x[i]), float64(x[i+n])) * complex(float64(cos[i]), float64(sin[i]))
			if math.Abs(real(z)-float64(halves[i])) > 1e-6 || math.Abs(imag(z)-float64(halves[i+n])) > 1e-6 {
				t.Fatalf("pair %d of %d is (%v, %v), want %v", i, n, halves[i], halves[i+n], z)
			}
			if !same(pairs[2*i], halves[i]) || !same(pairs[2*i+1], halves[i+n]) {
				t.Fatalf("pair %d of %d differs between the two orders", i, n)
			}
		}
	}
}
