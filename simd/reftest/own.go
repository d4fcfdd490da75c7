package reftest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// ownRef describes the groups of a panel of the project's own formats.
type ownRef struct {
	group, bits int
}

// The kinds of panels of I8 and I4.
var (
	ExactI8, Int8I8 = ownRef{256, 8}.kinds("I8")
	ExactI4, Int8I4 = ownRef{128, 4}.kinds("I4")
)

func (q ownRef) kinds(name string) (exact, int8 Kind) {
	return Kind{"Exact" + name, q.panel, floatBytes, 64, q.exact},
		Kind{"Int8" + name, q.panel, ownGroups, 64, q.int8}
}

func (q ownRef) subBytes() int { return 16 * 64 * q.bits / 8 }

// at is where the group of element k of all rows begins.
func (q ownRef) at(panel []byte, k int) []byte {
	return panel[k/q.group*(64+q.group/64*q.subBytes()):]
}

// scale and offset are those of element k of a lane: of I8 for q + 128.
func (q ownRef) scale(panel []byte, lane, k int) (d, offset float32) {
	g := q.at(panel, k)
	if q.bits == 8 {
		d = float(g, lane)
		return d, -128 * d
	}
	return bfloat(u16(g, 2*lane)), bfloat(u16(g, 2*lane+1))
}

// q is the stored integer of element k.
func (q ownRef) q(panel []byte, lane, k int) int {
	sub := q.at(panel, k)[64+k%q.group/64*q.subBytes():]
	k %= 64
	if q.bits == 8 {
		return int(sub[k/4*64+lane*4+k%4])
	}
	return int(sub[k%32/4*64+lane*4+k%4] >> (k / 32 * 4) & 15)
}

// exact is acc = fma(fma(q, d, offset), x, acc).
func (q ownRef) exact(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	return floatStep(func(panel []byte, lane, i int) float32 {
		d, offset := q.scale(panel, lane, i)
		return fma32(float32(q.q(panel, lane, i)), d, offset)
	})(acc, panel, lane, row, k)
}

// int8 is the exact sum of a group, then its scales.
func (q ownRef) int8(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	for g := 0; g < k; g += q.group {
		act := row[g/256*320:]
		sum := 0
		for i := g; i < min(k, g+q.group); i++ {
			sum += q.q(panel, lane, i) * int(int8(act[64+i%256]))
		}
		d, m := q.scale(panel, lane, g)
		if q.bits == 8 {
			sum += int(int32(binary.LittleEndian.Uint32(act[4:])))
		} else {
			acc = fma32(m, float(act, 2+g%256/128), acc)
		}
		acc = fma32(d*float(act, 0), float32(sum), acc)
	}
	return acc
}

// panel is random groups with small finite scales.
func (q ownRef) panel(r *rand.Rand, k int) []byte {
	var p []byte
	for g := 0; g < k; g += q.group {
		for range 16 {
			if q.bits == 8 {
				p = binary.LittleEndian.AppendUint32(p, math.Float32bits(float32(r.NormFloat64())/100))
			} else {
				p = binary.LittleEndian.AppendUint16(p, roundBF16(float32(r.NormFloat64())/10))
				p = binary.LittleEndian.AppendUint16(p, roundBF16(float32(r.NormFloat64())))
			}
		}
		for range min(q.group, k-g) / 64 * q.subBytes() {
			p = append(p, byte(r.Uint32()))
		}
	}
	return p
}

// turned is pure.Hadamard, recursively: the sums and the differences of the halves
// of 64, each turned.
func turned(x []float32) []float32 {
	var steps func(b []float32)
	steps = func(b []float32) {
		h := len(b) / 2
		if h == 0 {
			return
		}
		for i := range h {
			b[i], b[i+h] = b[i]+b[i+h], b[i]-b[i+h]
		}
		steps(b[:h])
		steps(b[h:])
	}
	y := append([]float32(nil), x...)
	for b := y; len(b) > 0; b = b[64:] {
		steps(b[:64])
	}
	for i := range y {
		y[i] /= 8
	}
	return y
}

// ownGroups is the exact definition of QuantizeOwn.
func ownGroups(x []float32, k int) []byte {
	var out []byte
	x = turned(x[:k])
	for len(x) > 0 {
		group := x[:min(256, len(x))]
		x = x[len(group):]
		top := float32(0)
		for _, v := range group {
			top = max(top, float32(math.Abs(float64(v))))
		}
		scale, factor := top/127, min(127/top, math.MaxFloat32)
		var sums [2]int
		var ints []byte
		for i, v := range group {
			n := int(math.RoundToEven(float64(v * factor)))
			sums[i/128] += n
			ints = append(ints, byte(int8(n)))
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale))
		out = binary.LittleEndian.AppendUint32(out, uint32(int32(-128*(sums[0]+sums[1]))))
		for _, s := range sums {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale*float32(s)))
		}
		out = append(append(out, make([]byte, 48)...), ints...)
	}
	return out
}
