package simd

import (
	"encoding/binary"
	"slices"
)

// Panels of these types hold a block's bytes in another order, so that four
// neighbouring q are unpacked with one shift and one mask for each part:
//
//	Q5_0  [16] d, then dwords of 16 rows: high bits, [4] low nibbles as in Q4_0
//	Q5_1  [16] d, [16] m, then as Q5_0
//	Q4_K  [16] d, [16] dmin, [3] of 6-bit scales and minima as stored, [4][8] nibbles as stored
//	Q5_K  [16] d, [16] dmin, [3] as Q4_K, [4] × ([2] high bits, [8] nibbles)
//	Q6_K  [16] d, [4] of scales as stored, [4] × ([2][2] high bits, [8] nibbles)
//
// where the nibbles of a chunk of 64 k are those of k in the low and of 32+k in
// the high half of byte k, and byte b of a dword of high bits has for its 32 k in
// bit e the fifth bit of k 4e+b, or in bits 2(e%4), 2(e%4)+1 of dword e/4 the
// upper two.

// transpose8 transposes an 8 × 8 matrix of bits: byte i, bit j (Hacker's Delight,
// 7-3).
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// highBits moves bit 4e+b to bit e of byte b.
func highBits(h uint32) uint32 {
	x := uint64(h)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	return uint32(transpose8(x))
}

// lowBits is the reverse of highBits.
func lowBits(h uint32) uint32 {
	x := transpose8(uint64(h))
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

var le = binary.LittleEndian

// arrange puts the bytes of a stored block into the order of its panel.
func arrange(t Type, dst, src []byte) {
	switch t {
	case Q5_0, Q5_1:
		copy(dst, src)
		at := headBytes(t)
		le.PutUint32(dst[at:], highBits(le.Uint32(src[at:])))
	case Q5_K:
		copy(dst, src[:16])
		for b := range 4 { // of each dword
			x := uint64(0)
			for e := range 8 {
				x |= uint64(src[16+4*e+b]) << (8 * e)
			}
			x = transpose8(x) // byte s has the bits of sub-block s
			for s := range 8 {
				dst[16+40*(s/2)+4*(s%2)+b] = byte(x >> (8 * s))
			}
		}
		for c := range 4 {
			copy(dst[16+40*c+8:][:32], src[48+32*c:])
		}
	case Q6_K:
		copy(dst, src[208:210])
		copy(dst[2:18], src[192:208])
		for c := range 4 {
			low, high, out := src[64*(c/2):][:64], src[128+32*(c/2):][:32], dst[18+48*c:][:48]
			var bits [4]uint32 // two of each sub-block
			for e := range 8 {
				first, second, h := le.Uint32(low[4*e:]), le.Uint32(low[32+4*e:]), le.Uint32(high[4*e:])
				if c%2 == 1 {
					first, second, h = first>>4, second>>4, h>>4
				}
				le.PutUint32(out[16+4*e:], first&0x0f0f0f0f|second&0x0f0f0f0f<<4)
				bits[e/4] |= h & 0x03030303 << (2 * (e % 4))
				bits[2+e/4] |= h >> 2 & 0x03030303 << (2 * (e % 4))
			}
			for i, b := range bits {
				le.PutUint32(out[4*i:], b)
			}
		}
	default:
		copy(dst, src)
	}
	if t == Q8_0 {
		for i := 2; i < 34; i += 8 {
			le.PutUint64(dst[i:], le.Uint64(dst[i:])^0x8080808080808080)
		}
	}
}

// restore is the reverse of arrange.
func restore(t Type, dst, src []byte) {
	switch t {
	case Q5_0, Q5_1:
		copy(dst, src)
		at := headBytes(t)
		le.PutUint32(dst[at:], lowBits(le.Uint32(src[at:])))
	case Q5_K:
		copy(dst, src[:16])
		for b := range 4 {
			x := uint64(0)
			for s := range 8 {
				x |= uint64(src[16+40*(s/2)+4*(s%2)+b]) << (8 * s)
			}
			x = transpose8(x)
			for e := range 8 {
				dst[16+4*e+b] = byte(x >> (8 * e))
			}
		}
		for c := range 4 {
			copy(dst[48+32*c:], src[16+40*c+8:][:32])
		}
	case Q6_K:
		copy(dst[208:], src[:2])
		copy(dst[192:], src[2:18])
		clear(dst[:192])
		for c := range 4 {
			low, high, in := dst[64*(c/2):][:64], dst[128+32*(c/2):][:32], src[18+48*c:][:48]
			or := func(b []byte, v uint32) { le.PutUint32(b, le.Uint32(b)|v<<(4*(c%2))) }
			for e := range 8 {
				q, h := le.Uint32(in[16+4*e:]), 2*(e%4)
				or(low[4*e:], q&0x0f0f0f0f)
				or(low[32+4*e:], q>>4&0x0f0f0f0f)
				or(high[4*e:], le.Uint32(in[e/4*4:])>>h&0x03030303|le.Uint32(in[8+e/4*4:])>>h&0x03030303<<2)
			}
		}
	default:
		arrange(t, dst, src) // its own reverse
	}
}

// packBlocks is packRow for ggml's types of blocks.
func packBlocks(t Type, panel []byte, lane int, row []byte) {
	var block [210]byte
	size, head := typeInfo[t].bytes, headBytes(t)
	b := block[:size]
	for len(row) >= size {
		arrange(t, b, row[:size])
		p := panel[:PanelRows*size]
		for h := 0; h < head; h += 2 {
			copy(p[h*PanelRows+lane*2:][:2], b[h:])
		}
		p = p[head*PanelRows+lane*4:]
		for q := b[head:]; len(q) >= 4; q = q[4:] {
			le.PutUint32(p, le.Uint32(q))
			p = p[min(len(p), PanelRows*4):]
		}
		row, panel = row[size:], panel[PanelRows*size:]
	}
}

// unpackBlocks is unpackRow for ggml's types of blocks.
func unpackBlocks(t Type, dst []float32, panel []byte, lane int) {
	var block, stored [210]byte
	size, head, n := typeInfo[t].bytes, headBytes(t), typeInfo[t].block
	for b := block[:size]; len(dst) > 0; dst, panel = dst[n:], panel[PanelRows*size:] {
		for h := 0; h < head; h += 2 {
			copy(b[h:][:2], panel[h*PanelRows+lane*2:])
		}
		for at := head; at < size; at += 4 {
			le.PutUint32(b[at:], le.Uint32(panel[at*PanelRows+lane*4:]))
		}
		restore(t, stored[:size], b)
		pureUnit.rows[t].decode(dst[:n], stored[:size])
	}
}

// headBytes is the size of a block's binary16 scale and minimum, which come first
// in a panel.
func headBytes(t Type) int {
	if slices.Contains([]Type{Q4_1, Q5_1, Q4_K, Q5_K}, t) {
		return 4
	}
	return 2
}
