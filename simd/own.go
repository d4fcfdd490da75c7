package simd

import (
	"encoding/binary"
)

// A block of I8 or I4 is dwords: its scale (and minimum), then its weights. A
// panel's block holds dword i of its 16 rows one after another.

// ownFlip is what turns a dword i of a stored block into the panel's: int8 into
// unsigned numbers.
func ownFlip(t Type, i int) uint32 {
	if t == I8 && i > 0 {
		return 0x80808080
	}
	return 0
}

// packOwn scatters a stored row of I8 or I4 to its lane of a panel.
func packOwn(t Type, panel []byte, lane int, row []byte) {
	size := typeInfo[t].bytes
	for len(row) >= size {
		p := panel[4*lane : PanelRows*size]
		for i := 0; i < size/4; i++ {
			binary.LittleEndian.PutUint32(p[i*4*PanelRows:], binary.LittleEndian.Uint32(row[4*i:])^ownFlip(t, i))
		}
		row, panel = row[size:], panel[PanelRows*size:]
	}
}

// unpackOwn widens the lane of a panel of I8 or I4.
func unpackOwn(t Type, dst []float32, panel []byte, lane int) {
	size := typeInfo[t].bytes
	var block [4 + 64]byte
	b := block[:size]
	for len(dst) > 0 {
		p := panel[4*lane : PanelRows*size]
		for i := 0; i < size/4; i++ {
			binary.LittleEndian.PutUint32(b[4*i:], binary.LittleEndian.Uint32(p[i*4*PanelRows:])^ownFlip(t, i))
		}
		n := min(len(dst), typeInfo[t].block)
		pureUnit.rows[t].decode(dst[:n], b)
		dst, panel = dst[n:], panel[PanelRows*size:]
	}
}
