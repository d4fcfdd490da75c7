package pure

import (
	"encoding/binary"
	"math"
)

// The project's own formats hold weights that were turned by Hadamard, in rows
// that are padded with zeros to a multiple of 64 before. A product of turned
// weights with turned activations is that of the plain ones, and what is
// quantized has no outliers.
//
//	I8  groups of 256, or what is left:  float32 d, int8 q      d * q
//	I4  groups of 128, or what is left:  bfloat16 d, bfloat16 m, then for each 64
//	    32 bytes of two nibbles q        d*q + m
//
// A byte i of I4's 32 holds element i in its low and element i+32 in its high
// nibble.
const (
	// OwnBlock is what rows of I8 and I4 are padded to, and what Hadamard turns.
	OwnBlock = 64
	// I8Group and I4Group are the weights of a scale.
	I8Group, I4Group = 4 * OwnBlock, 2 * OwnBlock
)

// I8Bytes is the size of a row of n weights, a multiple of 64, as I8.
func I8Bytes(n int) int { return (n+I8Group-1)/I8Group*4 + n }

// I4Bytes is the size of a row of n weights, a multiple of 64, as I4.
func I4Bytes(n int) int { return (n+I4Group-1)/I4Group*4 + n/2 }

func checkOwn(op string, n, want, got int) {
	if n%OwnBlock != 0 || want != got {
		badLen(op, want, got)
	}
}

// Hadamard is, for each block b of 64 elements of x,
//
//	for h := 32; h >= 1; h /= 2 {
//		for i := range 64 {
//			if i&h == 0 {
//				b[i], b[i+h] = b[i]+b[i+h], b[i]-b[i+h]
//			}
//		}
//	}
//	for i := range 64 {
//		b[i] *= 1.0 / 8
//	}
//
// It is orthogonal and its own inverse, but for roundings.
func Hadamard(x []float32) { // x: (64n,)
	checkOwn("Hadamard", len(x), 0, 0)
	for len(x) >= OwnBlock {
		b := (*[OwnBlock]float32)(x)
		for h := OwnBlock / 2; h >= 1; h /= 2 {
			for i := 0; i < OwnBlock; i += 2 * h {
				for j := i; j < i+h; j++ {
					u, v := b[j&63], b[(j+h)&63]
					b[j&63], b[(j+h)&63] = u+v, u-v
				}
			}
		}
		for i := range b {
			b[i] *= 1.0 / 8
		}
		x = x[OwnBlock:]
	}
}

// DecodeI8 is, for each group of 256 or of what is left,
//
//	for i := range group {
//		dst[i] = d * q[i]
//	}
func DecodeI8(dst []float32, src []byte) { // dst: (n,), src: (I8Bytes(n),)
	checkOwn("DecodeI8", len(dst), I8Bytes(len(dst)), len(src))
	for len(dst) > 0 {
		d := math.Float32frombits(binary.LittleEndian.Uint32(src))
		v := dst[:min(I8Group, len(dst))]
		q := src[4:][:len(v)]
		for i := range v {
			v[i] = d * int8Float[q[i]]
		}
		src, dst = src[4+len(v):], dst[len(v):]
	}
}

// DecodeI4 is, for each group of 128 or of what is left,
//
//	for i := range group {
//		dst[i] = d*q[i] + m
//	}
func DecodeI4(dst []float32, src []byte) { // dst: (n,), src: (I4Bytes(n),)
	checkOwn("DecodeI4", len(dst), I4Bytes(len(dst)), len(src))
	for len(dst) > 0 {
		d, m := BF16(binary.LittleEndian.Uint16(src)), BF16(binary.LittleEndian.Uint16(src[2:]))
		src = src[4:]
		for left := min(I4Group, len(dst)); left > 0; left -= OwnBlock {
			v, q := (*[OwnBlock]float32)(dst), (*[OwnBlock / 2]byte)(src)
			for i := range q {
				v[i] = float32(d*lowNib[q[i]]) + m
				v[32+i] = float32(d*highNib[q[i]]) + m
			}
			src, dst = src[OwnBlock/2:], dst[OwnBlock:]
		}
	}
}

// DotI8 is
//
//	return Dot(DecodeI8(w), x)
func DotI8(w []byte, x []float32) float32 { // w: (I8Bytes(n),), x: (n,)
	checkOwn("DotI8", len(x), I8Bytes(len(x)), len(w))
	var s0, s1 float32
	for len(x) > 0 {
		d := math.Float32frombits(binary.LittleEndian.Uint32(w))
		w = w[4:]
		for left := min(I8Group, len(x)); left > 0; left -= OwnBlock {
			q, v := (*[OwnBlock]byte)(w), (*[OwnBlock]float32)(x)
			for i := 0; i < OwnBlock; i += 4 {
				s0 += float32(float32(d*int8Float[q[i]]) * v[i])
				s1 += float32(float32(d*int8Float[q[i+1]]) * v[i+1])
				s0 += float32(float32(d*int8Float[q[i+2]]) * v[i+2])
				s1 += float32(float32(d*int8Float[q[i+3]]) * v[i+3])
			}
			w, x = w[OwnBlock:], x[OwnBlock:]
		}
	}
	return s0 + s1
}

// DotI4 is
//
//	return Dot(DecodeI4(w), x)
func DotI4(w []byte, x []float32) float32 { // w: (I4Bytes(n),), x: (n,)
	checkOwn("DotI4", len(x), I4Bytes(len(x)), len(w))
	var s0, s1 float32
	for len(x) > 0 {
		d, m := BF16(binary.LittleEndian.Uint16(w)), BF16(binary.LittleEndian.Uint16(w[2:]))
		w = w[4:]
		for left := min(I4Group, len(x)); left > 0; left -= OwnBlock {
			q, v := (*[OwnBlock / 2]byte)(w), (*[OwnBlock]float32)(x)
			for i := 0; i < len(q); i += 2 {
				s0 += float32((float32(d*lowNib[q[i]]) + m) * v[i])
				s1 += float32((float32(d*lowNib[q[i+1]]) + m) * v[i+1])
			}
			for i := 0; i < len(q); i += 2 {
				s0 += float32((float32(d*highNib[q[i]]) + m) * v[32+i])
				s1 += float32((float32(d*highNib[q[i+1]]) + m) * v[33+i])
			}
			w, x = w[OwnBlock/2:], x[OwnBlock:]
		}
	}
	return s0 + s1
}

// QuantizeI8 makes a row of I8 of turned weights. For each group
//
//	d = max(|w|) / 127
//	q[i] = round(w[i] * min(127/max(|w|), the largest float32)), ties to even
//
// It tells whether all weights are finite; else dst is of no use.
func QuantizeI8(dst []byte, w []float32) bool { // dst: (I8Bytes(n),), w: (n,)
	checkOwn("QuantizeI8", len(w), I8Bytes(len(w)), len(dst))
	for len(w) > 0 {
		v := w[:min(I8Group, len(w))]
		bits := uint32(0)
		for _, x := range v {
			bits = max(bits, math.Float32bits(x)&0x7fffffff)
		}
		top := math.Float32frombits(bits)
		if bits >= 0x7f800000 {
			return false
		}
		binary.LittleEndian.PutUint32(dst, math.Float32bits(top/127))
		factor := min(127/top, math.MaxFloat32)
		q := dst[4:][:len(v)]
		for i, x := range v {
			q[i] = byte(int8(int32(roundEven(float32(x * factor)))))
		}
		w, dst = w[len(v):], dst[4+len(v):]
	}
	return true
}

// roundEven rounds |x| < 2^22 to an integer, ties to even: adding the number whose
// last bit counts ones does it.
func roundEven(x float32) float32 {
	const magic = 3 << 22
	return float32(x+magic) - magic
}

// roundBF16 rounds a number to bfloat16, ties to even.
func roundBF16(x float32) float32 {
	b := math.Float32bits(x)
	if x != x {
		return x
	}
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}

// A Fit says how the line d*q + m fits weights; the sums of SumFit.
type Fit struct{ Error, Q, QQ, E, QE float32 }

// SumFit is
//
//	for i, x := range w {
//		e := x - m
//		q := round(clamp(e * factor, 0, 15)), ties to even
//		r := e - d*q
//		s[i%16] += {r*r, q, q*q, e, q*e}
//	}
//	for _, half := range []int{8, 4, 2, 1} {
//		for i := range half {
//			s[i] += s[i+half]
//		}
//	}
//	*fit = s[0]
func SumFit(fit *Fit, w []float32, d, m, factor float32) { // w: (16n,)
	var s [5][16]float32
	for i, x := range w {
		e := x - m
		q := roundEven(clamp(e * factor))
		r := e - float32(d*q)
		l := i & 15
		s[0][l] += float32(r * r)
		s[1][l] += q
		s[2][l] += float32(q * q)
		s[3][l] += e
		s[4][l] += float32(q * e)
	}
	for half := 8; half > 0; half /= 2 {
		for k := range s {
			for i := range half {
				s[k][i] += s[k][i+half]
			}
		}
	}
	*fit = Fit{s[0][0], s[1][0], s[2][0], s[3][0], s[4][0]}
}

// QuantizeI4 makes a row of I4 of turned weights. The d and m of a group are
//
//	d, m := (hi-lo)/15, lo // the group's range
//
// or the line of least squares through (q[i], w[i]), q those of that d and m, if its
// squared error is less. Both are rounded to bfloat16, and
//
//	q[i] = round(clamp((w[i] - m) * min(1/d, the largest float32), 0, 15)), ties to even
//
// It tells whether all weights are finite, and less than an eighth of the largest
// number; else dst is of no use. fit is SumFit or its twin.
func QuantizeI4(dst []byte, w []float32, fit func(fit *Fit, w []float32, d, m, factor float32)) bool { // dst: (I4Bytes(n),), w: (n,)
	checkOwn("QuantizeI4", len(w), I4Bytes(len(w)), len(dst))
	for len(w) > 0 {
		v := w[:min(I4Group, len(w))]
		w = w[len(v):]
		d, m, ok := i4Scale(v, fit)
		if !ok {
			return false
		}
		binary.LittleEndian.PutUint16(dst, uint16(math.Float32bits(d)>>16))
		binary.LittleEndian.PutUint16(dst[2:], uint16(math.Float32bits(m)>>16))
		dst = dst[4:]
		factor := inverse(d)
		for len(v) > 0 {
			b, q := (*[OwnBlock]float32)(v), (*[OwnBlock / 2]byte)(dst)
			for i := range q {
				q[i] = byte(roundEven(clamp((b[i]-m)*factor))) | byte(roundEven(clamp((b[32+i]-m)*factor)))<<4
			}
			v, dst = v[OwnBlock:], dst[OwnBlock/2:]
		}
	}
	return true
}

// clamp is x in [0, 15]. Few weights are outside, so that branches cost little.
func clamp(x float32) float32 {
	if !(x > 0) {
		return 0
	}
	if x > 15 {
		return 15
	}
	return x
}

// inverse is 1/d, or the largest number.
func inverse(d float32) float32 { return min(1/d, math.MaxFloat32) }

// i4Scale finds d and m of a group.
func i4Scale(v []float32, fit func(fit *Fit, w []float32, d, m, factor float32)) (d, m float32, ok bool) {
	lo, hi, top := v[0], v[0], uint32(0)
	for _, x := range v {
		if x < lo {
			lo = x
		}
		if x > hi {
			hi = x
		}
		top = max(top, math.Float32bits(x)&0x7fffffff)
	}
	if top > math.Float32bits(math.MaxFloat32/8) { // or no number
		return 0, 0, false
	}
	width := hi - lo
	d, m = roundBF16(width/15), roundBF16(lo)
	var f, line Fit
	fit(&f, v, d, m, inverse(d))
	n := float32(len(v))
	if det := float32(n*f.QQ) - float32(f.Q*f.Q); det > 0 {
		d2 := (float32(n*f.QE) - float32(f.Q*f.E)) / det
		m2 := roundBF16(m + (f.E-float32(d2*f.Q))/n)
		d2 = roundBF16(d2)
		if fit(&line, v, d2, m2, inverse(d2)); line.Error < f.Error {
			return d2, m2, true
		}
	}
	return d, m, true
}
