package pure

import "encoding/binary"

// Block layouts are ggml's (ggml/src/ggml-common.h block_q8_0, block_q4_0,
// block_q4_1); the values are those of gguf.quants.dequantize, each product and
// each sum rounded to float32.
const (
	qBlock    = 32
	q80Bytes  = 34 // f16 d, 32 int8
	q40Bytes  = 18 // f16 d, 16 bytes of two nibbles
	q41Bytes  = 20 // f16 d, f16 m, 16 bytes of two nibbles
	q40Offset = 8
)

// Tables of small integers as float32: a load is cheaper than a conversion, and
// an index of type byte needs no bounds check.
var (
	int8Float         [256]float32 // of the int8
	lowNib, highNib   [256]float32 // of the unsigned nibble
	lowNib8, highNib8 [256]float32 // of the nibble - 8
)

func init() {
	for i := range 256 {
		int8Float[i] = float32(int8(i))
		lowNib[i], highNib[i] = float32(i&15), float32(i>>4)
		lowNib8[i], highNib8[i] = float32(i&15-q40Offset), float32(i>>4-q40Offset)
	}
}

func checkBlocks(op string, n, blockBytes, got int) {
	if n%qBlock != 0 || n/qBlock*blockBytes != got {
		badLen(op, n/qBlock*blockBytes, got)
	}
}

// DecodeQ8_0 is, for each block b of 32 elements,
//
//	for i := range 32 {
//		dst[32*b+i] = d * q[i]
//	}
func DecodeQ8_0(dst []float32, src []byte) { // dst: (32n,), src: (34n,)
	checkBlocks("DecodeQ8_0", len(dst), q80Bytes, len(src))
	for len(src) >= q80Bytes && len(dst) >= qBlock {
		b, v := (*[q80Bytes]byte)(src), (*[qBlock]float32)(dst)
		d := F16(binary.LittleEndian.Uint16(b[0:]))
		for i := 0; i < qBlock; i += 4 {
			v[i] = d * int8Float[b[2+i]]
			v[i+1] = d * int8Float[b[3+i]]
			v[i+2] = d * int8Float[b[4+i]]
			v[i+3] = d * int8Float[b[5+i]]
		}
		src, dst = src[q80Bytes:], dst[qBlock:]
	}
}

// DecodeQ4_0 is, for each block b of 32 elements,
//
//	for i := range 16 {
//		dst[32*b+i] = d * (q[i]&15 - 8)
//		dst[32*b+i+16] = d * (q[i]>>4 - 8)
//	}
func DecodeQ4_0(dst []float32, src []byte) { // dst: (32n,), src: (18n,)
	checkBlocks("DecodeQ4_0", len(dst), q40Bytes, len(src))
	for len(src) >= q40Bytes && len(dst) >= qBlock {
		b, v := (*[q40Bytes]byte)(src), (*[qBlock]float32)(dst)
		d := F16(binary.LittleEndian.Uint16(b[0:]))
		for i := 0; i < 16; i += 2 {
			v[i] = d * lowNib8[b[2+i]]
			v[16+i] = d * highNib8[b[2+i]]
			v[i+1] = d * lowNib8[b[3+i]]
			v[17+i] = d * highNib8[b[3+i]]
		}
		src, dst = src[q40Bytes:], dst[qBlock:]
	}
}

// DecodeQ4_1 is, for each block b of 32 elements,
//
//	for i := range 16 {
//		dst[32*b+i] = d*(q[i]&15) + m
//		dst[32*b+i+16] = d*(q[i]>>4) + m
//	}
func DecodeQ4_1(dst []float32, src []byte) { // dst: (32n,), src: (20n,)
	checkBlocks("DecodeQ4_1", len(dst), q41Bytes, len(src))
	for len(src) >= q41Bytes && len(dst) >= qBlock {
		b, v := (*[q41Bytes]byte)(src), (*[qBlock]float32)(dst)
		d, m := F16(binary.LittleEndian.Uint16(b[0:])), F16(binary.LittleEndian.Uint16(b[2:]))
		for i := 0; i < 16; i += 2 {
			v[i] = float32(d*lowNib[b[4+i]]) + m
			v[16+i] = float32(d*highNib[b[4+i]]) + m
			v[i+1] = float32(d*lowNib[b[5+i]]) + m
			v[17+i] = float32(d*highNib[b[5+i]]) + m
		}
		src, dst = src[q41Bytes:], dst[qBlock:]
	}
}

// DotQ8_0 is
//
//	return Dot(DecodeQ8_0(w), x)
func DotQ8_0(w []byte, x []float32) float32 { // w: (34n,), x: (32n,)
	checkBlocks("DotQ8_0", len(x), q80Bytes, len(w))
	var s0, s1 float32
	for len(w) >= q80Bytes && len(x) >= qBlock {
		b, v := (*[q80Bytes]byte)(w), (*[qBlock]float32)(x)
		d := F16(binary.LittleEndian.Uint16(b[0:]))
		for i := 0; i < qBlock; i += 4 {
			s0 += float32(float32(d*int8Float[b[2+i]]) * v[i])
			s1 += float32(float32(d*int8Float[b[3+i]]) * v[i+1])
			s0 += float32(float32(d*int8Float[b[4+i]]) * v[i+2])
			s1 += float32(float32(d*int8Float[b[5+i]]) * v[i+3])
		}
		w, x = w[q80Bytes:], x[qBlock:]
	}
	return s0 + s1
}

// DotQ4_0 is
//
//	return Dot(DecodeQ4_0(w), x)
func DotQ4_0(w []byte, x []float32) float32 { // w: (18n,), x: (32n,)
	checkBlocks("DotQ4_0", len(x), q40Bytes, len(w))
	var s0, s1 float32
	for len(w) >= q40Bytes && len(x) >= qBlock {
		b, v := (*[q40Bytes]byte)(w), (*[qBlock]float32)(x)
		d := F16(binary.LittleEndian.Uint16(b[0:]))
		for i := 0; i < 16; i += 4 {
			s0 += float32(float32(d*lowNib8[b[2+i]]) * v[i])
			s1 += float32(float32(d*lowNib8[b[3+i]]) * v[i+1])
			s0 += float32(float32(d*lowNib8[b[4+i]]) * v[i+2])
			s1 += float32(float32(d*lowNib8[b[5+i]]) * v[i+3])
		}
		for i := 0; i < 16; i += 4 {
			s0 += float32(float32(d*highNib8[b[2+i]]) * v[16+i])
			s1 += float32(float32(d*highNib8[b[3+i]]) * v[17+i])
			s0 += float32(float32(d*highNib8[b[4+i]]) * v[18+i])
			s1 += float32(float32(d*highNib8[b[5+i]]) * v[19+i])
		}
		w, x = w[q40Bytes:], x[qBlock:]
	}
	return s0 + s1
}

// DotQ4_1 is
//
//	return Dot(DecodeQ4_1(w), x)
func DotQ4_1(w []byte, x []float32) float32 { // w: (20n,), x: (32n,)
	checkBlocks("DotQ4_1", len(x), q41Bytes, len(w))
	var s0, s1 float32
	for len(w) >= q41Bytes && len(x) >= qBlock {
		b, v := (*[q41Bytes]byte)(w), (*[qBlock]float32)(x)
		d, m := F16(binary.LittleEndian.Uint16(b[0:])), F16(binary.LittleEndian.Uint16(b[2:]))
		for i := 0; i < 16; i += 4 {
			s0 += float32((float32(d*lowNib[b[4+i]]) + m) * v[i])
			s1 += float32((float32(d*lowNib[b[5+i]]) + m) * v[i+1])
			s0 += float32((float32(d*lowNib[b[6+i]]) + m) * v[i+2])
			s1 += float32((float32(d*lowNib[b[7+i]]) + m) * v[i+3])
		}
		for i := 0; i < 16; i += 4 {
			s0 += float32((float32(d*highNib[b[4+i]]) + m) * v[16+i])
			s1 += float32((float32(d*highNib[b[5+i]]) + m) * v[17+i])
			s0 += float32((float32(d*highNib[b[6+i]]) + m) * v[18+i])
			s1 += float32((float32(d*highNib[b[7+i]]) + m) * v[19+i])
		}
		w, x = w[q41Bytes:], x[qBlock:]
	}
	return s0 + s1
}
