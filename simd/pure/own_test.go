package pure

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// ownTypes are the project's own formats.
var ownTypes = []struct {
	name     string
	group    int
	bytes    func(n int) int
	decode   func(dst []float32, src []byte)
	dot      func(w []byte, x []float32) float32
	quantize func(dst []byte, w []float32) bool
}{
	{"I8", I8Group, I8Bytes, DecodeI8, DotI8, QuantizeI8},
	{"I4", I4Group, I4Bytes, DecodeI4, DotI4, quantizeI4},
}

func quantizeI4(dst []byte, w []float32) bool { return QuantizeI4(dst, w, SumFit) }

// The formats, element by element, for rows that end anywhere in a group.
func TestDecodeOwn(t *testing.T) {
	r := newRand()
	for _, s := range ownTypes {
		for n := OwnBlock; n <= 10*OwnBlock; n += OwnBlock {
			row := make([]byte, s.bytes(n))
			if !s.quantize(row, random(r, n, 0)) {
				t.Fatal("finite weights refused")
			}
			got, intact := guarded(n, 1)
			s.decode(got, row)
			if !intact() {
				t.Fatalf("%s of %d wrote outside its slice", s.name, n)
			}
			for k := range got {
				var want float32
				if s.name == "I8" {
					b := row[k/256*260:]
					want = math.Float32frombits(binary.LittleEndian.Uint32(b)) * float32(int8(b[4+k%256]))
				} else {
					b := row[k/128*68:]
					d, m := BF16(binary.LittleEndian.Uint16(b)), BF16(binary.LittleEndian.Uint16(b[2:]))
					want = float32(d*float32(b[4+k%128/64*32+k%32]>>(k%64/32*4)&15)) + m
				}
				if !same(got[k], want) {
					t.Fatalf("%s of %d: element %d is %v, want %v", s.name, n, k, got[k], want)
				}
			}
			x := random(r, n, 0)
			checkSame(t, "dot", n, []float32{s.dot(row, x)}, []float32{refDot(got, x)})
		}
	}
}

// Hadamard is the matrix whose element (i, j) is (-1)^(bits that i and j share)/8.
func TestHadamard(t *testing.T) {
	r := newRand()
	for n := 0; n <= 3*OwnBlock; n += OwnBlock {
		x := random(r, n, 1)
		y, intact := guarded(n, 1)
		copy(y, x)
		Hadamard(y)
		if !intact() {
			t.Fatal("wrote outside its slice")
		}
		for k, got := range y {
			want := 0.0
			for j := range OwnBlock {
				v := float64(x[k/OwnBlock*OwnBlock+j]) / 8
				for b := k % OwnBlock & j; b > 0; b &= b - 1 {
					v = -v
				}
				want += v
			}
			if !(math.Abs(float64(got)-want) <= 1e-6) {
				t.Fatalf("element %d of %d is %v, want %v", k, n, got, want)
			}
		}
	}
}

// Every weight is within half a step of what it was, and a little for roundings
// of scale and minimum; a group of zeros stays zeros.
func checkQuantized(t *testing.T, name string, group int, w, got []float32) {
	t.Helper()
	for g := 0; g < len(w); g += group {
		v := w[g:min(len(w), g+group)]
		lo, hi, top, square, was := v[0], v[0], 0.0, 0.0, 0.0
		for _, x := range v {
			lo, hi, top = min(lo, x), max(hi, x), max(top, math.Abs(float64(x)))
		}
		step := float64(hi-lo)/15 + top/256
		if name == "I8" {
			step = top / 127
		}
		for i, x := range v {
			d := math.Abs(float64(x) - float64(got[g+i]))
			square += d * d
			was += step * step / 4
			if name == "I8" && !(d <= step*0.5001+1e-38) || math.IsNaN(d) {
				t.Fatalf("%s: element %d of %v is %v", name, g+i, x, got[g+i])
			}
		}
		if !(square <= was*1.3+1e-60) { // of I4, whose range may be cut
			t.Fatalf("%s: squared error %v of a group with steps of %v, bound %v", name, square, step, was)
		}
	}
}

func TestQuantizeOwn(t *testing.T) {
	r := newRand()
	for _, s := range ownTypes {
		for name, value := range map[string]func(i int) float32{
			"normal":       func(int) float32 { return float32(r.NormFloat64()) },
			"small":        func(int) float32 { return float32(r.NormFloat64()) * 1e-30 },
			"large":        func(int) float32 { return float32(r.NormFloat64()) * 1e30 },
			"zeros":        func(int) float32 { return 0 },
			"one value":    func(int) float32 { return -3.3333333 },
			"two values":   func(i int) float32 { return float32(i & 1) },
			"an outlier":   func(i int) float32 { return float32(r.NormFloat64()) + float32(i/77%2*50) },
			"far from 0":   func(int) float32 { return 1000 + float32(r.NormFloat64()) },
			"denormal":     func(int) float32 { return math.Float32frombits(r.Uint32N(1 << 10)) },
			"negative 0":   func(int) float32 { return float32(math.Copysign(0, -1)) },
			"uniform bits": func(int) float32 { return math.Float32frombits(r.Uint32()&0x80ffffff | 0x3f000000) },
		} {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				for n := OwnBlock; n <= 9*OwnBlock; n += OwnBlock {
					w, got := make([]float32, n), make([]float32, n)
					for i := range w {
						w[i] = value(i)
					}
					row := make([]byte, s.bytes(n))
					if !s.quantize(row, w) {
						t.Fatal("finite weights refused")
					}
					s.decode(got, row)
					checkQuantized(t, s.name, s.group, w, got)
					if name == "zeros" {
						checkSame(t, "zeros", n, got, w)
					}
				}
			})
		}
	}
}

// No number, an infinity, or what overflows is refused wherever it stands.
func TestQuantizeOwnRefuses(t *testing.T) {
	r := newRand()
	for _, s := range ownTypes {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for n := OwnBlock; n <= 5*OwnBlock; n += OwnBlock {
				w := random(r, n, 0)
				w[r.IntN(n)] = bad
				if s.quantize(make([]byte, s.bytes(n)), w) {
					t.Fatalf("%s took %v", s.name, bad)
				}
			}
		}
	}
}

// Whatever the bits of the weights, a row is refused or stays within its bound.
func FuzzQuantizeOwn(f *testing.F) {
	f.Add(uint64(1), uint32(0), uint32(0x7f7fffff), byte(3))
	f.Add(uint64(2), uint32(0x7f800000), uint32(0xff800000), byte(1))
	f.Add(uint64(3), uint32(1), uint32(0x00800000), byte(2))
	f.Fuzz(func(t *testing.T, seed uint64, a, b uint32, blocks byte) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := OwnBlock * (1 + int(blocks)%6)
		w, got := make([]float32, n), make([]float32, n)
		finite := true
		for i := range w {
			switch r.IntN(3) {
			case 0:
				w[i] = math.Float32frombits(a)
			case 1:
				w[i] = math.Float32frombits(b)
			default:
				w[i] = math.Float32frombits(a&^0xffff | r.Uint32()&0xffff)
			}
			finite = finite && !(math.Abs(float64(w[i])) > math.MaxFloat32/16) && w[i] == w[i]
		}
		for _, s := range ownTypes {
			row := make([]byte, s.bytes(n))
			ok := s.quantize(row, w)
			if finite && !ok {
				t.Fatalf("%s refused %v", s.name, w)
			}
			if finite {
				s.decode(got, row)
				for i, x := range got {
					if x != x {
						t.Fatalf("%s: element %d of %v is no number", s.name, i, w[i])
					}
				}
			}
		}
	})
}

func BenchmarkQuantizeOwn(b *testing.B) {
	r := newRand()
	const n = 2048
	w := random(r, n, 0)
	for _, s := range ownTypes {
		row := make([]byte, s.bytes(n))
		b.Run(fmt.Sprint(s.name), func(b *testing.B) {
			for b.Loop() {
				s.quantize(row, w)
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mweights/s")
		})
	}
	b.Run("Hadamard", func(b *testing.B) {
		for b.Loop() {
			Hadamard(w)
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mweights/s")
	})
}
