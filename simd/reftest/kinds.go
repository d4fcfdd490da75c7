package reftest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// A Kind of tiles: a panel, its activations and the exact chain that a tile
// computes.
type Kind struct {
	Name  string
	Panel func(r *rand.Rand, k int) []byte // a panel of random weights
	Row   func(x []float32, k int) []byte  // one row of activations
	Per   int                              // k that a tile's n counts as one
	Step  func(acc float32, panel []byte, lane int, row []byte, k int) float32
}

// BlockBytes is the size of an int8 activation block.
const BlockBytes = 40

// step for floats: acc = fma(w, x, acc), one k after another.
func floatStep(weight func(panel []byte, lane, k int) float32) func(float32, []byte, int, []byte, int) float32 {
	return func(acc float32, panel []byte, lane int, row []byte, k int) float32 {
		for i := range k {
			acc = fma32(weight(panel, lane, i), float(row, i), acc)
		}
		return acc
	}
}

func float(b []byte, i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
func u16(b []byte, i int) uint16    { return binary.LittleEndian.Uint16(b[2*i:]) }

func floatBytes(x []float32, _ int) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// pairWeight is weight k of a lane of a BF16 panel.
func pairWeight(panel []byte, lane, k int) float32 { return bfloat(u16(panel, k/2*32+lane*2+k%2)) }

// bfloatBytes is a row of bfloat16.
func bfloatBytes(x []float32, _ int) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint16(b, roundBF16(v))
	}
	return b
}

// pairStep is VDPBF16PS as AMD's Zen 4 computes it, numbers below the normal
// ones apart, which it takes and gives as zeros: the odd product first, each
// added with one rounding.
func pairStep(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	for i := 0; i < k; i += 2 {
		acc = fma32(pairWeight(panel, lane, i+1), bfloat(u16(row, i+1)), acc)
		acc = fma32(pairWeight(panel, lane, i), bfloat(u16(row, i)), acc)
	}
	return acc
}

// blockRef describes the blocks of a quantized panel.
type blockRef struct {
	bytes, head int // of one row's block
	bias        int
	minima      bool
}

func (q blockRef) d(panel []byte, lane, b int) float32 { return half(u16(panel[b*16*q.bytes:], lane)) }
func (q blockRef) m(panel []byte, lane, b int) float32 {
	return half(u16(panel[b*16*q.bytes+32:], lane))
}

// q is the stored integer of element i of block b.
func (q blockRef) q(panel []byte, lane, b, i int) int {
	data := panel[b*16*q.bytes+16*q.head:]
	if q.bytes == 34 {
		return int(data[i/4*64+lane*4+i%4])
	}
	return int(data[i%16/4*64+lane*4+i%4] >> (i / 16 * 4) & 15)
}

// exact is acc = fma(fma(q, d, offset), x, acc).
func (q blockRef) exact(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	return floatStep(func(panel []byte, lane, i int) float32 {
		d := q.d(panel, lane, i/32)
		offset := -float32(q.bias) * d
		if q.minima {
			offset = q.m(panel, lane, i/32)
		}
		return fma32(float32(q.q(panel, lane, i/32, i%32)), d, offset)
	})(acc, panel, lane, row, k)
}

// int8 is the exact sum of a block, then its scales.
func (q blockRef) int8(acc float32, panel []byte, lane int, row []byte, k int) float32 {
	for b := range k / 32 {
		act := row[b*BlockBytes:]
		sum := 0
		for i := range 32 {
			sum += q.q(panel, lane, b, i) * int(int8(act[8+i]))
		}
		if q.minima {
			acc = fma32(q.m(panel, lane, b), float(act, 1), acc)
		} else {
			sum += int(int32(binary.LittleEndian.Uint32(act[4:])))
		}
		acc = fma32(q.d(panel, lane, b)*float(act, 0), float32(sum), acc)
	}
	return acc
}

// panel is random blocks with small finite scales.
func (q blockRef) panel(r *rand.Rand, k int) []byte {
	p := make([]byte, k/32*16*q.bytes)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	for b := range k / 32 {
		for i := range 8 * q.head {
			h := p[b*16*q.bytes+2*i:][:2]
			h[1] = h[1]&0x83 | 0x28
		}
	}
	return p
}

// quantized is the exact definition of QuantizeBias and QuantizeSum.
func (q blockRef) quantized(x []float32, k int) []byte {
	var out []byte
	for b := range k / 32 {
		block := x[32*b:][:32]
		top := float32(0)
		for _, v := range block {
			top = max(top, float32(math.Abs(float64(v))))
		}
		scale, factor, sum := top/127, min(127/top, math.MaxFloat32), 0
		var ints []byte
		for _, v := range block {
			i := int(math.RoundToEven(float64(v * factor)))
			sum += i
			ints = append(ints, byte(int8(i)))
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale))
		if q.minima {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale*float32(sum)))
		} else {
			out = binary.LittleEndian.AppendUint32(out, uint32(int32(-q.bias*sum)))
		}
		out = append(out, ints...)
	}
	return out
}

// halves is a random panel of 16-bit weights.
func halves(r *rand.Rand, k int, round func(float32) uint16) []byte {
	var p []byte
	for range 16 * k {
		p = binary.LittleEndian.AppendUint16(p, round(float32(r.NormFloat64())))
	}
	return p
}

// The kinds of float panels.
var (
	F32 = Kind{"F32", func(r *rand.Rand, k int) []byte {
		w := make([]float32, 16*k)
		for i := range w {
			w[i] = float32(r.NormFloat64())
		}
		return floatBytes(w, 0)
	}, floatBytes, 1, floatStep(func(p []byte, lane, k int) float32 { return float(p, 16*k+lane) })}

	F16 = Kind{"F16", func(r *rand.Rand, k int) []byte { return halves(r, k, toHalf) },
		floatBytes, 1, floatStep(func(p []byte, lane, k int) float32 { return half(u16(p, 16*k+lane)) })}

	BF16 = Kind{"BF16", func(r *rand.Rand, k int) []byte { return halves(r, k, roundBF16) },
		floatBytes, 1, floatStep(pairWeight)}

	BF16Pairs = Kind{"BF16Pairs", func(r *rand.Rand, k int) []byte { return halves(r, k, roundBF16) },
		bfloatBytes, 1, pairStep}
)

// The kinds of panels of blocks of 32.
var (
	q80 = blockRef{34, 2, 128, false}
	q40 = blockRef{18, 2, 8, false}
	q41 = blockRef{20, 4, 0, true}

	ExactQ8_0, Int8Q8_0 = q80.kinds("Q8_0")
	ExactQ4_0, Int8Q4_0 = q40.kinds("Q4_0")
	ExactQ4_1, Int8Q4_1 = q41.kinds("Q4_1")
)

func (q blockRef) kinds(name string) (exact, int8 Kind) {
	return Kind{"Exact" + name, q.panel, floatBytes, 32, q.exact},
		Kind{"Int8" + name, q.panel, q.quantized, 32, q.int8}
}
