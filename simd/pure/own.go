package pure

import (
	"encoding/binary"
	"math"
)

// The project's own formats hold blocks of 64 weights of a row; a last block is
// whole, its further elements count as nothing.
//
//	I8  float32 d, 64 int8 q          d * q
//	I4  bfloat16 d, bfloat16 m, 32 bytes of two nibbles q   d*q + m
//
// A byte i of I4 holds element i in its low and element i+32 in its high nibble.
const (
	// OwnBlock is the number of weights of a block.
	OwnBlock = 64
	// I8Bytes is the size of a block of I8.
	I8Bytes = 4 + OwnBlock
	// I4Bytes is the size of a block of I4.
	I4Bytes = 4 + OwnBlock/2
)

func checkOwn(op string, n, blockBytes, got int) {
	if want := (n + OwnBlock - 1) / OwnBlock * blockBytes; want != got {
		badLen(op, want, got)
	}
}

// DecodeI8 is, for each block b of 64 elements,
//
//	for i := range min(64, n-64*b) {
//		dst[64*b+i] = d * q[i]
//	}
func DecodeI8(dst []float32, src []byte) { // dst: (n,), src: (68·⌈n/64⌉,)
	checkOwn("DecodeI8", len(dst), I8Bytes, len(src))
	for len(src) >= I8Bytes {
		b := (*[I8Bytes]byte)(src)
		d := math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
		v := dst[:min(OwnBlock, len(dst))]
		for i := range v {
			v[i] = d * int8Float[b[4+i]]
		}
		src, dst = src[I8Bytes:], dst[len(v):]
	}
}

// DecodeI4 is, for each block b of 64 elements,
//
//	for i := range min(64, n-64*b) {
//		dst[64*b+i] = d*q[i] + m
//	}
func DecodeI4(dst []float32, src []byte) { // dst: (n,), src: (36·⌈n/64⌉,)
	checkOwn("DecodeI4", len(dst), I4Bytes, len(src))
	for len(src) >= I4Bytes {
		b := (*[I4Bytes]byte)(src)
		d, m := BF16(binary.LittleEndian.Uint16(b[0:])), BF16(binary.LittleEndian.Uint16(b[2:]))
		v := dst[:min(OwnBlock, len(dst))]
		low := v[:min(OwnBlock/2, len(v))]
		for i := range low {
			low[i] = float32(d*lowNib[b[4+i]]) + m
		}
		high := v[len(low):]
		for i := range high {
			high[i] = float32(d*highNib[b[4+i]]) + m
		}
		src, dst = src[I4Bytes:], dst[len(v):]
	}
}

// DotI8 is
//
//	return Dot(DecodeI8(w), x)
func DotI8(w []byte, x []float32) float32 { // w: (68·⌈n/64⌉,), x: (n,)
	checkOwn("DotI8", len(x), I8Bytes, len(w))
	var s0, s1 float32
	for len(w) >= I8Bytes && len(x) >= OwnBlock {
		b, v := (*[I8Bytes]byte)(w), (*[OwnBlock]float32)(x)
		d := math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
		for i := 0; i < OwnBlock; i += 4 {
			s0 += float32(float32(d*int8Float[b[4+i]]) * v[i])
			s1 += float32(float32(d*int8Float[b[5+i]]) * v[i+1])
			s0 += float32(float32(d*int8Float[b[6+i]]) * v[i+2])
			s1 += float32(float32(d*int8Float[b[7+i]]) * v[i+3])
		}
		w, x = w[I8Bytes:], x[OwnBlock:]
	}
	var t [OwnBlock]float32
	DecodeI8(t[:len(x)], w)
	return dotTail(s0, s1, t[:len(x)], x)
}

// DotI4 is
//
//	return Dot(DecodeI4(w), x)
func DotI4(w []byte, x []float32) float32 { // w: (36·⌈n/64⌉,), x: (n,)
	checkOwn("DotI4", len(x), I4Bytes, len(w))
	var s0, s1 float32
	for len(w) >= I4Bytes && len(x) >= OwnBlock {
		b, v := (*[I4Bytes]byte)(w), (*[OwnBlock]float32)(x)
		d, m := BF16(binary.LittleEndian.Uint16(b[0:])), BF16(binary.LittleEndian.Uint16(b[2:]))
		for i := 0; i < OwnBlock/2; i += 4 {
			s0 += float32((float32(d*lowNib[b[4+i]]) + m) * v[i])
			s1 += float32((float32(d*lowNib[b[5+i]]) + m) * v[i+1])
			s0 += float32((float32(d*lowNib[b[6+i]]) + m) * v[i+2])
			s1 += float32((float32(d*lowNib[b[7+i]]) + m) * v[i+3])
		}
		for i := 0; i < OwnBlock/2; i += 4 {
			s0 += float32((float32(d*highNib[b[4+i]]) + m) * v[32+i])
			s1 += float32((float32(d*highNib[b[5+i]]) + m) * v[33+i])
			s0 += float32((float32(d*highNib[b[6+i]]) + m) * v[34+i])
			s1 += float32((float32(d*highNib[b[7+i]]) + m) * v[35+i])
		}
		w, x = w[I4Bytes:], x[OwnBlock:]
	}
	var t [OwnBlock]float32
	DecodeI4(t[:len(x)], w)
	return dotTail(s0, s1, t[:len(x)], x)
}
