package pure

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"testing"
)

// The pure unit has the same bits on every processor and with every release of
// the compiler: nothing is fused, nothing is reordered. The constants were
// printed by this test on amd64.
func TestBitsAreTheSameEverywhere(t *testing.T) {
	const n = 321
	state := uint64(1)
	next := func() uint64 { // splitmix64
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	fill := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(int32(next()>>32)) * 0x1p-29 // -4 to 4
		}
		return x
	}
	stored := func(bytes, block int) []byte {
		b := make([]byte, bytes)
		for i := range b {
			b[i] = byte(next())
		}
		for i := 0; i < bytes; i += block {
			b[i+1] = b[i+1]&0x83 | 0x28
		}
		return b
	}
	x, y, z, w := fill(n), fill(n), fill(n), fill(n)
	one := func(v ...float32) []float32 { return v }
	in := func(f func(dst []float32)) []float32 { dst := append([]float32(nil), w...); f(dst); return dst }
	for _, c := range []struct {
		name string
		got  []float32
		want uint64
	}{
		{"Dot", one(Dot(x, y)), 0xbd9a6e54c01f3ba},
		{"Dot2", func() []float32 { a, b := Dot2(w, x, y); return one(a, b) }(), 0x1b66ceb7f65a1d17},
		{"Dot3", func() []float32 { a, b, c := Dot3(w, x, y, z); return one(a, b, c) }(), 0x60b918b421de30c8},
		{"DotF16", one(DotF16(stored(2*n, 2), x)), 0x19246262546dd049},
		{"DotBF16", one(DotBF16(stored(2*n, 2), x)), 0xdd35340796ac886c},
		{"DotQ8_0", one(DotQ8_0(stored(340, 34), x[:320])), 0x78af810c37bde10},
		{"DotQ4_0", one(DotQ4_0(stored(180, 18), x[:320])), 0x903b0c9c7262ee42},
		{"DotQ4_1", one(DotQ4_1(stored(200, 20), x[:320])), 0x43a5ee1550475908},
		{"DecodeQ4_1", in(func(dst []float32) { DecodeQ4_1(dst[:320], stored(200, 20)) }), 0x720ab4faeb72b7ea},
		{"Add", in(func(dst []float32) { Add(dst, x) }), 0xf38f914c1dd72927},
		{"RMSNorm", in(func(dst []float32) { RMSNorm(dst, x, y, 1e-5) }), 0x50bc2090a19f4b6e},
		{"Softmax", in(Softmax), 0xe4acc02f4321dccd},
		{"SiLUMul", in(func(dst []float32) { SiLUMul(dst, x, y) }), 0xb1845e26b46f1b78},
		{"WeightedSum", in(func(dst []float32) { WeightedSum(dst[:45], x[:7], y[:315]) }), 0x82e6d501a5360d34},
		{"RopeHalves", in(func(dst []float32) { RopeHalves(dst[:320], x[:160], y[:160]) }), 0xfc21a3451a4d5db0},
		{"RopeInterleaved", in(func(dst []float32) { RopeInterleaved(dst[:320], x[:160], y[:160]) }), 0x180a67e2bb07b474},
	} {
		h := fnv.New64a()
		var word [4]byte
		for _, v := range c.got {
			if v != v {
				t.Errorf("%s: a NaN", c.name)
			}
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			h.Write(word[:])
		}
		if got := h.Sum64(); got != c.want {
			t.Errorf("%s has bits %#x, want %#x", c.name, got, c.want)
		}
	}
}
