package pure

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// refDot is the order of package pure's comment, one step at a time.
func refDot(w, x []float32) float32 {
	var s [2]float32
	for k := range x {
		s[k%2] += float32(w[k] * x[k])
	}
	return s[0] + s[1]
}

// dot64 is the same sum in float64, and the sum of the products' sizes.
func dot64(w, x []float32) (sum, size float64) {
	for k := range x {
		p := float64(w[k]) * float64(x[k])
		sum, size = sum+p, size+math.Abs(p)
	}
	return sum, size
}

// canary is a value that no kernel may write over: a NaN with a payload.
var canary = math.Float32frombits(0x7fc0dead)

const margin = 8 // elements of canary on either side

// guarded is a slice of n elements at the given offset from an aligned start,
// with canaries around it; intact tells whether they are all there.
func guarded(n, offset int) (s []float32, intact func() bool) {
	all := make([]float32, margin+offset+n+margin)
	for i := range all {
		all[i] = canary
	}
	s = all[margin+offset:][:n:n]
	return s, func() bool {
		for i, v := range all {
			inside := i >= margin+offset && i < margin+offset+n
			if !inside && math.Float32bits(v) != math.Float32bits(canary) {
				return false
			}
		}
		return true
	}
}

// random is a guarded slice of standard normal values.
func random(r *rand.Rand, n, offset int) []float32 {
	s, _ := guarded(n, offset)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// lengths calls f for all short lengths and some long ones, each at four
// alignments.
func lengths(f func(n, offset int)) {
	for n := range 128 {
		for offset := range 4 {
			f(n, offset)
		}
	}
	for _, n := range []int{255, 576, 1536, 4099} {
		f(n, n%4)
	}
}

// same compares bits, so that -0 and NaN count.
func same(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

func checkSame(t *testing.T, what string, n int, got, want []float32) {
	t.Helper()
	for i := range want {
		if !same(got[i], want[i]) {
			t.Fatalf("%s of %d: element %d is %v (%#x), want %v (%#x)", what, n, i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// storedType is a weight type with its decode and fused dot.
type storedType struct {
	name        string
	block, size int
	decode      func(dst []float32, src []byte)
	dot         func(w []byte, x []float32) float32
}

var storedTypes = []storedType{
	{"F32", 1, 4, DecodeF32, DotF32},
	{"F16", 1, 2, DecodeF16, DotF16},
	{"BF16", 1, 2, DecodeBF16, DotBF16},
	{"Q8_0", 32, 34, DecodeQ8_0, DotQ8_0},
	{"Q4_0", 32, 18, DecodeQ4_0, DotQ4_0},
	{"Q4_1", 32, 20, DecodeQ4_1, DotQ4_1},
	{"Q5_0", 32, 22, DecodeQ5_0, DotQ5_0},
	{"Q5_1", 32, 24, DecodeQ5_1, DotQ5_1},
	{"Q4_K", 256, 144, DecodeQ4_K, DotQ4_K},
	{"Q5_K", 256, 176, DecodeQ5_K, DotQ5_K},
	{"Q6_K", 256, 210, DecodeQ6_K, DotQ6_K},
}

// halves are the places of a block's f16 numbers where they are not 0 alone.
var halves = map[string][]int{"Q4_1": {0, 2}, "Q5_1": {0, 2}, "Q4_K": {0, 2}, "Q5_K": {0, 2}, "Q6_K": {208}}

// row is n random elements, small finite numbers, stored offset bytes from an
// aligned start.
func (s *storedType) row(r *rand.Rand, n, offset int) []byte {
	b := make([]byte, offset+n/s.block*s.size)[offset:]
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for i := 0; i < len(b); i += s.size {
		v := float32(r.NormFloat64())
		switch s.name {
		case "F32":
			binary.LittleEndian.PutUint32(b[i:], math.Float32bits(v))
		case "BF16":
			binary.LittleEndian.PutUint16(b[i:], uint16(math.Float32bits(v)>>16))
		default: // an f16, or the scale of a block and what may be its minimum
			at := halves[s.name]
			if at == nil {
				at = []int{0}
			}
			for _, h := range at {
				b[i+h+1] = b[i+h+1]&0x83 | 0x28
			}
		}
	}
	return b
}
