package simd

import (
	"encoding/binary"

	"github.com/llama-go/llama-go/simd/pure"
)

// A row of I8 or I4 is dwords: scales (and minima), and weights in fours or eights.
// A panel holds dword i of its 16 rows one after another, int8 as unsigned numbers
// with 128 added.

// ownGroup is the number of dwords of a whole group of I8.
const ownGroup = 1 + pure.I8Group/4

// ownFlip is what turns dword i of a stored row into the panel's.
func ownFlip(t Type, i int) uint32 {
	if t == I8 && i%ownGroup > 0 {
		return 0x80808080
	}
	return 0
}

// packOwn deals stored rows of I8 or I4, up to 16, out to the lanes of a panel. Units
// that have panels are little-endian.
func packOwn(t Type, panel, rows []byte, lanes int) {
	src, dst := as[uint32](rows), as[uint32](panel)
	n := len(dst) / PanelRows
	for i := range n {
		flip, to := ownFlip(t, i), dst[i*PanelRows:][:lanes]
		for lane := range to {
			to[lane] = src[lane*n+i] ^ flip
		}
	}
}

// unpackOwn gathers a lane of a panel to a stored row.
func unpackOwn(t Type, row, panel []byte, lane int) {
	panel = panel[4*lane:]
	for i := 0; i < len(row)/4; i++ {
		binary.LittleEndian.PutUint32(row[4*i:], binary.LittleEndian.Uint32(panel[i*4*PanelRows:])^ownFlip(t, i))
	}
}

// width is the number of weights of a row that are multiplied.
func (m *Matrix) width() int {
	if m.Type.own() {
		return m.Type.paddedCols(m.Cols)
	}
	return m.Cols
}

// ownRow is Row of I8 and I4: the weights that a row stands for, turned back.
func (m *Matrix) ownRow(dst []float32, r int) { // dst: (Cols,)
	var row []byte
	if m.kernel != nil {
		row = make([]byte, m.Type.RowBytes(m.Cols))
		unpackOwn(m.Type, row, m.panel(r/PanelRows), r%PanelRows)
	} else {
		row = m.row(r)
	}
	w := make([]float32, m.width())
	pureUnit.rows[m.Type].decode(w, row)
	pure.Hadamard(w)
	copy(dst[:m.Cols], w)
}

// Activation groups of int8 for I8 and I4 are 256 turned activations, or what is
// left:
//
//	float32 scale
//	int32 -128·Σq
//	float32 scale·Σq of the first 128, of the others
//	48 bytes of nothing, so that what follows begins at a cache line as the row does
//	256 int8 q
const (
	ownHead     = 64
	ownActGroup = ownHead + pure.I8Group
)

// ownActBytes is the size of a row of n activations in groups.
func ownActBytes(n int) int {
	n = roundUp(n, pure.OwnBlock)
	return (n+pure.I8Group-1)/pure.I8Group*ownHead + n
}
