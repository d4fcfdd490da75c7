package pure

import (
	"encoding/binary"
	"math"
)

// F16 widens an IEEE 754 binary16, exactly. The exponent moves from bias 15 to
// 127 by a multiplication, which also normalizes subnormals and keeps the sign;
// infinities and NaNs get their exponent by hand.
func F16(h uint16) float32 {
	b := uint32(int32(int16(h))<<13) & 0x8fffe000 // sign, then exponent and mantissa in place
	if h&0x7c00 == 0x7c00 {
		return math.Float32frombits(b | 0x7f800000)
	}
	return math.Float32frombits(b) * 0x1p112
}

// BF16 widens a bfloat16, the upper half of a float32.
func BF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// DecodeF32 is
//
//	for k := range dst {
//		dst[k] = the little-endian float32 at src[4*k:]
//	}
func DecodeF32(dst []float32, src []byte) { // dst: (k,), src: (4k,)
	checkLen("DecodeF32", 4*len(dst), len(src))
	for len(dst) >= 4 && len(src) >= 16 {
		d, s := (*[4]float32)(dst), (*[16]byte)(src)
		d[0] = math.Float32frombits(binary.LittleEndian.Uint32(s[0:]))
		d[1] = math.Float32frombits(binary.LittleEndian.Uint32(s[4:]))
		d[2] = math.Float32frombits(binary.LittleEndian.Uint32(s[8:]))
		d[3] = math.Float32frombits(binary.LittleEndian.Uint32(s[12:]))
		dst, src = dst[4:], src[16:]
	}
	for k := range dst {
		dst[k] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*k:]))
	}
}

// DecodeF16 is
//
//	for k := range dst {
//		dst[k] = F16(the little-endian uint16 at src[2*k:])
//	}
func DecodeF16(dst []float32, src []byte) { // dst: (k,), src: (2k,)
	checkLen("DecodeF16", 2*len(dst), len(src))
	for len(dst) >= 4 && len(src) >= 8 {
		d, s := (*[4]float32)(dst), (*[8]byte)(src)
		d[0] = F16(binary.LittleEndian.Uint16(s[0:]))
		d[1] = F16(binary.LittleEndian.Uint16(s[2:]))
		d[2] = F16(binary.LittleEndian.Uint16(s[4:]))
		d[3] = F16(binary.LittleEndian.Uint16(s[6:]))
		dst, src = dst[4:], src[8:]
	}
	for k := range dst {
		dst[k] = F16(binary.LittleEndian.Uint16(src[2*k:]))
	}
}

// DecodeBF16 is
//
//	for k := range dst {
//		dst[k] = BF16(the little-endian uint16 at src[2*k:])
//	}
func DecodeBF16(dst []float32, src []byte) { // dst: (k,), src: (2k,)
	checkLen("DecodeBF16", 2*len(dst), len(src))
	for len(dst) >= 4 && len(src) >= 8 {
		d, s := (*[4]float32)(dst), (*[8]byte)(src)
		d[0] = BF16(binary.LittleEndian.Uint16(s[0:]))
		d[1] = BF16(binary.LittleEndian.Uint16(s[2:]))
		d[2] = BF16(binary.LittleEndian.Uint16(s[4:]))
		d[3] = BF16(binary.LittleEndian.Uint16(s[6:]))
		dst, src = dst[4:], src[8:]
	}
	for k := range dst {
		dst[k] = BF16(binary.LittleEndian.Uint16(src[2*k:]))
	}
}

// DotF32 is
//
//	return Dot(DecodeF32(w), x)
//
// for rows that do not lie aligned in memory.
func DotF32(w []byte, x []float32) float32 { // w: (4k,), x: (k,)
	checkLen("DotF32", 4*len(x), len(w))
	var s0, s1 float32
	for len(w) >= 8 && len(x) >= 2 {
		a, v := (*[8]byte)(w), (*[2]float32)(x)
		s0 += float32(math.Float32frombits(binary.LittleEndian.Uint32(a[0:])) * v[0])
		s1 += float32(math.Float32frombits(binary.LittleEndian.Uint32(a[4:])) * v[1])
		w, x = w[8:], x[2:]
	}
	if len(x) == 1 && len(w) >= 4 {
		s0 += float32(math.Float32frombits(binary.LittleEndian.Uint32(w)) * x[0])
	}
	return s0 + s1
}

// DotF16 is
//
//	return Dot(DecodeF16(w), x)
func DotF16(w []byte, x []float32) float32 { // w: (2k,), x: (k,)
	checkLen("DotF16", 2*len(x), len(w))
	var s0, s1 float32
	for len(w) >= 8 && len(x) >= 4 {
		a, v := (*[8]byte)(w), (*[4]float32)(x)
		s0 += float32(F16(binary.LittleEndian.Uint16(a[0:])) * v[0])
		s1 += float32(F16(binary.LittleEndian.Uint16(a[2:])) * v[1])
		s0 += float32(F16(binary.LittleEndian.Uint16(a[4:])) * v[2])
		s1 += float32(F16(binary.LittleEndian.Uint16(a[6:])) * v[3])
		w, x = w[8:], x[4:]
	}
	var t [3]float32
	DecodeF16(t[:len(x)], w)
	return dotTail(s0, s1, t[:len(x)], x)
}

// DotBF16 is
//
//	return Dot(DecodeBF16(w), x)
func DotBF16(w []byte, x []float32) float32 { // w: (2k,), x: (k,)
	checkLen("DotBF16", 2*len(x), len(w))
	var s0, s1 float32
	for len(w) >= 8 && len(x) >= 4 {
		a, v := (*[8]byte)(w), (*[4]float32)(x)
		s0 += float32(BF16(binary.LittleEndian.Uint16(a[0:])) * v[0])
		s1 += float32(BF16(binary.LittleEndian.Uint16(a[2:])) * v[1])
		s0 += float32(BF16(binary.LittleEndian.Uint16(a[4:])) * v[2])
		s1 += float32(BF16(binary.LittleEndian.Uint16(a[6:])) * v[3])
		w, x = w[8:], x[4:]
	}
	var t [3]float32
	DecodeBF16(t[:len(x)], w)
	return dotTail(s0, s1, t[:len(x)], x)
}
