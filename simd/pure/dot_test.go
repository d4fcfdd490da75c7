package pure

import (
	"math"
	"testing"
)

func TestDotOrder(t *testing.T) {
	r := newRand()
	lengths(func(n, offset int) {
		w, x0, x1, x2 := random(r, n, offset), random(r, n, (offset+1)%4), random(r, n, (offset+2)%4), random(r, n, (offset+3)%4)
		want := []float32{refDot(w, x0), refDot(w, x1), refDot(w, x2)}
		checkSame(t, "Dot", n, []float32{Dot(w, x0)}, want[:1])
		a, b := Dot2(w, x0, x1)
		checkSame(t, "Dot2", n, []float32{a, b}, want[:2])
		a, b, c := Dot3(w, x0, x1, x2)
		checkSame(t, "Dot3", n, []float32{a, b, c}, want)

		sum, size := dot64(w, x0)
		if d := math.Abs(float64(want[0]) - sum); d > size*float64(n+2)*0x1p-24 {
			t.Fatalf("dot of %d is %v, %v in float64", n, want[0], sum)
		}
	})
}

// A row that is multiplied while it is decoded has the bits of decoding first.
func TestFusedDotIsDotOfDecoded(t *testing.T) {
	r := newRand()
	for _, s := range storedTypes {
		t.Run(s.name, func(t *testing.T) {
			lengths(func(n, offset int) {
				n *= s.block
				if n > 4096 {
					return
				}
				w, x := s.row(r, n, offset), random(r, n, offset)
				dst, intact := guarded(n, offset)
				s.decode(dst, w)
				if !intact() {
					t.Fatalf("decode of %d wrote outside its slice", n)
				}
				checkSame(t, "dot", n, []float32{s.dot(w, x)}, []float32{refDot(dst, x)})
			})
		})
	}
}

func TestWrongLengthsPanic(t *testing.T) {
	f, b := make([]float32, 64), make([]byte, 64)
	for name, call := range map[string]func(){
		"Dot":             func() { Dot(f, f[1:]) },
		"Dot2":            func() { Dot2(f, f, f[1:]) },
		"Dot3":            func() { Dot3(f, f, f[1:], f) },
		"DecodeF32":       func() { DecodeF32(f, b) },
		"DecodeF16":       func() { DecodeF16(f, b) },
		"DecodeBF16":      func() { DecodeBF16(f, b) },
		"DecodeQ8_0":      func() { DecodeQ8_0(f, b) },
		"DecodeQ4_0":      func() { DecodeQ4_0(f, b) },
		"DecodeQ4_1":      func() { DecodeQ4_1(f, b) },
		"DotF32":          func() { DotF32(b, f) },
		"DotF16":          func() { DotF16(b, f) },
		"DotBF16":         func() { DotBF16(b, f) },
		"DotQ8_0":         func() { DotQ8_0(b[:34], f[:33]) },
		"DotQ4_0":         func() { DotQ4_0(b, f) },
		"DecodeI8":        func() { DecodeI8(f, b) },
		"DecodeI4":        func() { DecodeI4(f, b) },
		"DotI8":           func() { DotI8(b, f) },
		"DotI4":           func() { DotI4(b[:36], append(f, 1)) },
		"Hadamard":        func() { Hadamard(f[:32]) },
		"QuantizeI8":      func() { QuantizeI8(b, f) },
		"QuantizeI4":      func() { QuantizeI4(b, f, SumFit) },
		"DotQ4_1":         func() { DotQ4_1(b, f) },
		"DecodeQ5_0":      func() { DecodeQ5_0(f, b) },
		"DotQ5_0":         func() { DotQ5_0(b, f) },
		"DecodeQ5_1":      func() { DecodeQ5_1(f, b) },
		"DotQ5_1":         func() { DotQ5_1(b, f) },
		"DecodeQ4_K":      func() { DecodeQ4_K(f, b) },
		"DotQ4_K":         func() { DotQ4_K(b, f) },
		"DecodeQ5_K":      func() { DecodeQ5_K(f, b) },
		"DotQ5_K":         func() { DotQ5_K(b, f) },
		"DecodeQ6_K":      func() { DecodeQ6_K(f, b) },
		"DotQ6_K":         func() { DotQ6_K(b, f) },
		"Add":             func() { Add(f, f[1:]) },
		"RMSNorm":         func() { RMSNorm(f, f, f[1:], 1e-5) },
		"WeightedSum":     func() { WeightedSum(f[:3], f[:2], f[:5]) },
		"SiLUMul":         func() { SiLUMul(f, f, f[1:]) },
		"RopeHalves":      func() { RopeHalves(f, f[:31], f[:31]) },
		"RopeInterleaved": func() { RopeInterleaved(f, f[:32], f[:31]) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("took slices that do not fit")
				}
			}()
			call()
		})
	}
}

func BenchmarkDot(b *testing.B) {
	r := newRand()
	const n = 768
	w, x0, x1, x2 := random(r, n, 0), random(r, n, 0), random(r, n, 0), random(r, n, 0)
	run := func(name string, rows int, f func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(b.N)*float64(n*rows)/b.Elapsed().Seconds()/1e9, "Gproducts/s")
		})
	}
	run("Dot", 1, func() { Dot(w, x0) })
	run("Dot2", 2, func() { Dot2(w, x0, x1) })
	run("Dot3", 3, func() { Dot3(w, x0, x1, x2) })
	for _, s := range storedTypes {
		row, dst := s.row(r, n, 0), make([]float32, n)
		run("Dot"+s.name, 1, func() { s.dot(row, x0) })
		run("Decode"+s.name, 1, func() { s.decode(dst, row) })
	}
}
