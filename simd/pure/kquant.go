package pure

import "encoding/binary"

// Block layouts are ggml's (ggml/src/ggml-common.h block_q5_0, block_q5_1,
// block_q4_K, block_q5_K, block_q6_K). Products of a scale, a sub-scale and q
// are exact in float32, so that a weight is rounded at most once, where its
// minimum is added.
const (
	q50Bytes = 22 // f16 d, 32 high bits, 16 bytes of two nibbles
	q51Bytes = 24 // f16 d, f16 m, 32 high bits, 16 bytes of two nibbles
	kBlock   = 256
	q4kBytes = 144 // f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, 128 bytes of two nibbles
	q5kBytes = 176 // f16 d, f16 dmin, 12 bytes of scales, 32 bytes of high bits, 128 bytes of two nibbles
	q6kBytes = 210 // 128 bytes of low nibbles, 64 bytes of two high bits, 16 int8 scales, f16 d
)

// Integers of 5 bits, and of 6 bits less 32, as float32.
var (
	small  [32]float32
	about0 [64]float32
)

func init() {
	for i := range small {
		small[i] = float32(i)
	}
	for i := range about0 {
		about0[i] = float32(i - 32)
	}
}

func checkWhole(op string, n, block, blockBytes, got int) {
	if n%block != 0 || n/block*blockBytes != got {
		badLen(op, n/block*blockBytes, got)
	}
}

// halfAt is the binary16 number at b.
func halfAt(b []byte) float32 { return F16(binary.LittleEndian.Uint16(b)) }

func decodeQ5_0(v *[qBlock]float32, b *[q50Bytes]byte) {
	d := halfAt(b[0:])
	high := binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:] {
		lo, hi := high>>i<<4, high>>(i+12)
		v[i] = d * (small[lo&16|uint32(q&15)] - 16)
		v[i+16] = d * (small[hi&16|uint32(q>>4)] - 16)
	}
}

func decodeQ5_1(v *[qBlock]float32, b *[q51Bytes]byte) {
	d, m := halfAt(b[0:]), halfAt(b[2:])
	high := binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:] {
		lo, hi := high>>i<<4, high>>(i+12)
		v[i] = float32(d*small[lo&16|uint32(q&15)]) + m
		v[i+16] = float32(d*small[hi&16|uint32(q>>4)]) + m
	}
}

// KScales unpacks the 6-bit sub-scales and sub-minima of Q4_K and Q5_K: byte j of
// s has scale j in its low six bits, byte 4+j minimum j, for j < 4; byte 8+j the
// low nibbles of scale 4+j and of minimum 4+j, whose high two bits are those of
// bytes j and 4+j (ggml, get_scale_min_k4).
func KScales(s *[12]byte) (scale, minimum [8]byte) {
	for j := range 4 {
		scale[j], minimum[j] = s[j]&63, s[4+j]&63
		scale[4+j] = s[8+j]&15 | s[j]>>6<<4
		minimum[4+j] = s[8+j]>>4 | s[4+j]>>6<<4
	}
	return scale, minimum
}

func decodeQ4_K(v *[kBlock]float32, b *[q4kBytes]byte) {
	d, dmin := halfAt(b[0:]), halfAt(b[2:])
	scale, minimum := KScales((*[12]byte)(b[4:]))
	for j := 0; j < 8; j += 2 {
		q, lo, hi := (*[32]byte)(b[16+16*j:]), (*[32]float32)(v[32*j:]), (*[32]float32)(v[32*j+32:])
		d0, m0 := d*float32(scale[j]), float32(dmin*float32(minimum[j]))
		d1, m1 := d*float32(scale[j+1]), float32(dmin*float32(minimum[j+1]))
		for i, b := range q {
			lo[i] = float32(d0*lowNib[b]) - m0
			hi[i] = float32(d1*highNib[b]) - m1
		}
	}
}

func decodeQ5_K(v *[kBlock]float32, b *[q5kBytes]byte) {
	d, dmin := halfAt(b[0:]), halfAt(b[2:])
	scale, minimum := KScales((*[12]byte)(b[4:]))
	high := (*[32]byte)(b[16:])
	for j := 0; j < 8; j += 2 {
		q, lo, hi := (*[32]byte)(b[48+16*j:]), (*[32]float32)(v[32*j:]), (*[32]float32)(v[32*j+32:])
		d0, m0 := d*float32(scale[j]), float32(dmin*float32(minimum[j]))
		d1, m1 := d*float32(scale[j+1]), float32(dmin*float32(minimum[j+1]))
		for i, b := range q {
			h := high[i] >> (j & 7)
			lo[i] = float32(d0*small[h<<4&16|b&15]) - m0
			hi[i] = float32(d1*small[h<<3&16|b>>4]) - m1
		}
	}
}

func decodeQ6_K(v *[kBlock]float32, b *[q6kBytes]byte) {
	d := halfAt(b[208:])
	for n := range 4 { // 4 times 16 elements each, 32 apart
		half, i := n/2, n%2*16
		low0, low1 := (*[16]byte)(b[64*half+i:]), (*[16]byte)(b[64*half+32+i:])
		high, scale := (*[16]byte)(b[128+32*half+i:]), (*[7]byte)(b[192+8*half+n%2:])
		at := 128*half + i
		v0, v1, v2, v3 := (*[16]float32)(v[at:]), (*[16]float32)(v[at+32:]), (*[16]float32)(v[at+64:]), (*[16]float32)(v[at+96:])
		d0, d1 := d*int8Float[scale[0]], d*int8Float[scale[2]]
		d2, d3 := d*int8Float[scale[4]], d*int8Float[scale[6]]
		for i, h := range high {
			a, b := low0[i], low1[i]
			v0[i] = d0 * about0[a&15|h<<4&48]
			v1[i] = d1 * about0[b&15|h<<2&48]
			v2[i] = d2 * about0[a>>4|h&48]
			v3[i] = d3 * about0[b>>4|h>>2&48]
		}
	}
}

// DecodeQ5_0 is, for each block b of 32 elements,
//
//	for i := range 16 {
//		dst[32*b+i] = d * (q[i]&15 + 16*high[i] - 16)
//		dst[32*b+i+16] = d * (q[i]>>4 + 16*high[i+16] - 16)
//	}
func DecodeQ5_0(dst []float32, src []byte) { // dst: (32n,), src: (22n,)
	checkWhole("DecodeQ5_0", len(dst), qBlock, q50Bytes, len(src))
	for ; len(src) >= q50Bytes; dst, src = dst[qBlock:], src[q50Bytes:] {
		decodeQ5_0((*[qBlock]float32)(dst), (*[q50Bytes]byte)(src))
	}
}

// DecodeQ5_1 is, for each block b of 32 elements,
//
//	for i := range 16 {
//		dst[32*b+i] = d*(q[i]&15 + 16*high[i]) + m
//		dst[32*b+i+16] = d*(q[i]>>4 + 16*high[i+16]) + m
//	}
func DecodeQ5_1(dst []float32, src []byte) { // dst: (32n,), src: (24n,)
	checkWhole("DecodeQ5_1", len(dst), qBlock, q51Bytes, len(src))
	for ; len(src) >= q51Bytes; dst, src = dst[qBlock:], src[q51Bytes:] {
		decodeQ5_1((*[qBlock]float32)(dst), (*[q51Bytes]byte)(src))
	}
}

// DecodeQ4_K is, for each block b of 256 elements and its eight sub-blocks j,
//
//	for i := range 32 {
//		dst[256*b+32*j+i] = d*scale[j]*q - dmin*minimum[j] // q: nibble j%2 of byte 32*(j/2)+i
//	}
//
// with scale and minimum of KScales.
func DecodeQ4_K(dst []float32, src []byte) { // dst: (256n,), src: (144n,)
	checkWhole("DecodeQ4_K", len(dst), kBlock, q4kBytes, len(src))
	for ; len(src) >= q4kBytes; dst, src = dst[kBlock:], src[q4kBytes:] {
		decodeQ4_K((*[kBlock]float32)(dst), (*[q4kBytes]byte)(src))
	}
}

// DecodeQ5_K is DecodeQ4_K with one more bit of q: bit j of byte i of the high
// bits is worth 16.
func DecodeQ5_K(dst []float32, src []byte) { // dst: (256n,), src: (176n,)
	checkWhole("DecodeQ5_K", len(dst), kBlock, q5kBytes, len(src))
	for ; len(src) >= q5kBytes; dst, src = dst[kBlock:], src[q5kBytes:] {
		decodeQ5_K((*[kBlock]float32)(dst), (*[q5kBytes]byte)(src))
	}
}

// DecodeQ6_K is, for each block b of 256 elements, its halves h and their four
// parts p,
//
//	for i := range 32 {
//		q := nibble p/2 of low[64*h+32*(p%2)+i] + 16*(high[32*h+i] >> (2*p) & 3)
//		dst[256*b+128*h+32*p+i] = d*scale[8*h+2*p+i/16] * (q - 32)
//	}
func DecodeQ6_K(dst []float32, src []byte) { // dst: (256n,), src: (210n,)
	checkWhole("DecodeQ6_K", len(dst), kBlock, q6kBytes, len(src))
	for ; len(src) >= q6kBytes; dst, src = dst[kBlock:], src[q6kBytes:] {
		decodeQ6_K((*[kBlock]float32)(dst), (*[q6kBytes]byte)(src))
	}
}

// addBlock goes on with Dot's two sums over an even number of elements.
func addBlock(s0, s1 float32, w, x []float32) (float32, float32) {
	x = x[:len(w)]
	for k := 0; k <= len(w)-4; k += 4 {
		s0 += float32(w[k] * x[k])
		s1 += float32(w[k+1] * x[k+1])
		s0 += float32(w[k+2] * x[k+2])
		s1 += float32(w[k+3] * x[k+3])
	}
	return s0, s1
}

// DotQ5_0 is
//
//	return Dot(DecodeQ5_0(w), x)
func DotQ5_0(w []byte, x []float32) float32 { // w: (22n,), x: (32n,)
	checkWhole("DotQ5_0", len(x), qBlock, q50Bytes, len(w))
	var s0, s1 float32
	var v [qBlock]float32
	for ; len(w) >= q50Bytes; w, x = w[q50Bytes:], x[qBlock:] {
		decodeQ5_0(&v, (*[q50Bytes]byte)(w))
		s0, s1 = addBlock(s0, s1, v[:], x)
	}
	return s0 + s1
}

// DotQ5_1 is
//
//	return Dot(DecodeQ5_1(w), x)
func DotQ5_1(w []byte, x []float32) float32 { // w: (24n,), x: (32n,)
	checkWhole("DotQ5_1", len(x), qBlock, q51Bytes, len(w))
	var s0, s1 float32
	var v [qBlock]float32
	for ; len(w) >= q51Bytes; w, x = w[q51Bytes:], x[qBlock:] {
		decodeQ5_1(&v, (*[q51Bytes]byte)(w))
		s0, s1 = addBlock(s0, s1, v[:], x)
	}
	return s0 + s1
}

// DotQ4_K is
//
//	return Dot(DecodeQ4_K(w), x)
func DotQ4_K(w []byte, x []float32) float32 { // w: (144n,), x: (256n,)
	checkWhole("DotQ4_K", len(x), kBlock, q4kBytes, len(w))
	var s0, s1 float32
	var v [kBlock]float32
	for ; len(w) >= q4kBytes; w, x = w[q4kBytes:], x[kBlock:] {
		decodeQ4_K(&v, (*[q4kBytes]byte)(w))
		s0, s1 = addBlock(s0, s1, v[:], x)
	}
	return s0 + s1
}

// DotQ5_K is
//
//	return Dot(DecodeQ5_K(w), x)
func DotQ5_K(w []byte, x []float32) float32 { // w: (176n,), x: (256n,)
	checkWhole("DotQ5_K", len(x), kBlock, q5kBytes, len(w))
	var s0, s1 float32
	var v [kBlock]float32
	for ; len(w) >= q5kBytes; w, x = w[q5kBytes:], x[kBlock:] {
		decodeQ5_K(&v, (*[q5kBytes]byte)(w))
		s0, s1 = addBlock(s0, s1, v[:], x)
	}
	return s0 + s1
}

// DotQ6_K is
//
//	return Dot(DecodeQ6_K(w), x)
func DotQ6_K(w []byte, x []float32) float32 { // w: (210n,), x: (256n,)
	checkWhole("DotQ6_K", len(x), kBlock, q6kBytes, len(w))
	var s0, s1 float32
	var v [kBlock]float32
	for ; len(w) >= q6kBytes; w, x = w[q6kBytes:], x[kBlock:] {
		decodeQ6_K(&v, (*[q6kBytes]byte)(w))
		s0, s1 = addBlock(s0, s1, v[:], x)
	}
	return s0 + s1
}
