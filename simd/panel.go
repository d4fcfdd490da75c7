package simd

import (
	"encoding/binary"
	"math"

	"github.com/llama-go/llama-go/simd/pure"
)

// PanelRows is the number of weight rows in a panel: the lanes of a tile. Lanes
// are rows, so a product has no horizontal sum, and one layout serves one
// activation row and many.
//
// A panel holds its rows whole, k (a multiple of kStep) outermost:
//
//	F32   [k][16] float32
//	F16   [k][16] binary16
//	BF16  [k/2][16][2] bfloat16, k a multiple of 32: each is a tile of AMX
//
// and of blocks of 32 k, one after another:
//
//	Q8_0  [16] binary16 d, [8][16][4] bytes of q + 128
//	Q4_0  [16] binary16 d, [4][16][4] bytes of the block's own two nibbles
//	Q4_1  [16] binary16 d, [16] binary16 m, [4][16][4] bytes as in Q4_0
//
// and of the blocks of panel_quant.go,
//
// and of the groups of I8 and I4, of 256 and 128 k or what is left, in cache lines
// and with the 64 k of a tile of bytes together:
//
//	I8    [16] float32 d, then for each 64 k [16][16][4] bytes of q + 128
//	I4    [16][2] bfloat16 d and m, then for each 64 k [8][16][4] bytes of two nibbles
//
// Rows and elements beyond the matrix are zeros; those of I8 and I4 are what zeros
// became.
const PanelRows = 16

// kStep is what k of float panels, and of activations that meet them, is padded
// to.
const kStep = 8

func roundUp(n, step int) int { return (n + step - 1) / step * step }

// panelBytes is the size of one panel.
func (t Type) panelBytes(cols int) int {
	return PanelRows * t.RowBytes(t.paddedCols(cols))
}

func (t Type) paddedCols(cols int) int {
	switch {
	case t.own():
		return roundUp(cols, pure.OwnBlock)
	case t == BF16:
		return roundUp(cols, 32)
	case typeInfo[t].block == 1:
		return roundUp(cols, kStep)
	}
	return cols
}

// PanelBytes is the memory that the panels of m take.
func (m *Matrix) PanelBytes() int { return m.Panels() * m.Type.panelBytes(m.Cols) }

// Panels is the number of panels of m.
func (m *Matrix) Panels() int { return (m.Rows + PanelRows - 1) / PanelRows }

// panel is the memory of panel p.
func (m *Matrix) panel(p int) []byte {
	return m.panels[p*m.stride:][:m.Type.panelBytes(m.Cols)]
}

// PackPanels writes panels [lo, hi) of the stored matrix src, whose twin in
// panels m is.
func (m *Matrix) PackPanels(src *Matrix, lo, hi int) {
	for p := lo; p < hi; p++ {
		panel, lanes := m.panel(p), min(PanelRows, m.Rows-p*PanelRows)
		if m.Type.own() {
			packOwn(m.Type, panel, src.data[p*PanelRows*m.Type.RowBytes(m.Cols):], lanes)
			continue
		}
		for lane := range lanes {
			packRow(m.Type, panel, lane, src.row(p*PanelRows+lane))
		}
	}
}

// packRow scatters a stored row to its lane of a panel that is zero.
func packRow(t Type, panel []byte, lane int, row []byte) {
	switch t {
	case F32:
		for k := 0; len(row) >= 4; k++ {
			copy(panel[(k*PanelRows+lane)*4:][:4], row)
			row = row[4:]
		}
	case F16:
		for at := lane * 2; len(row) >= 2; at += PanelRows * 2 {
			panel[at], panel[at+1] = row[0], row[1]
			row = row[2:]
		}
	case BF16:
		for at := lane * 4; len(row) >= 2; at += PanelRows * 4 {
			n := copy(panel[at:][:4], row)
			row = row[n:]
		}
	default:
		packBlocks(t, panel, lane, row)
	}
}

// unpackRow widens the lane of a panel: the values that the unit's exact tile
// multiplies, and that the stored row decodes to.
func unpackRow(t Type, dst []float32, panel []byte, lane int) {
	switch t {
	case F32:
		for k := range dst {
			dst[k] = math.Float32frombits(binary.LittleEndian.Uint32(panel[(k*PanelRows+lane)*4:]))
		}
	case F16:
		for k := range dst {
			dst[k] = pure.F16(binary.LittleEndian.Uint16(panel[(k*PanelRows+lane)*2:]))
		}
	case BF16:
		for k := range dst {
			dst[k] = pure.BF16(binary.LittleEndian.Uint16(panel[(k/2*PanelRows+lane)*4+k%2*2:]))
		}
	default:
		unpackBlocks(t, dst, panel, lane)
	}
}
