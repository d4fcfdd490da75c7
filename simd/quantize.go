package simd

import (
	"errors"
	"fmt"

	"github.com/llama-go/llama-go/simd/pure"
)

// ErrNotFinite refuses weights that cannot be quantized: no numbers, infinite ones,
// or so large that their sums are.
var ErrNotFinite = errors.New("simd: weights that are not finite cannot be quantized")

// As is a matrix of m's shape and of type t, I8 or I4, without memory: what
// Plan.Panels, Plan.PanelPair or Stored give memory to and Quantize fills.
func (m *Matrix) As(t Type) *Matrix { return &Matrix{Type: t, Rows: m.Rows, Cols: m.Cols} }

// StoredBytes is the size of m as rows.
func (m *Matrix) StoredBytes() int { return m.Rows * m.Type.RowBytes(m.Cols) }

// Stored is the twin of m as rows in mem, of StoredBytes.
func (m *Matrix) Stored(mem []byte) Matrix {
	return Matrix{Type: m.Type, Rows: m.Rows, Cols: m.Cols, data: mem[:m.StoredBytes()]}
}

// QuantizeScratch is the number of floats that Quantize wants as scratch.
func QuantizeScratch(cols int) int { return roundUp(cols, pure.OwnBlock) }

// Quantize turns and quantizes panels [lo, hi), of 16 rows, of src, a matrix of
// floats, into m, of the same shape. The weights are the same on every unit. It
// fails with ErrNotFinite.
func (m *Matrix) Quantize(src *Matrix, lo, hi int, scratch []float32) error { // scratch: (QuantizeScratch(Cols),)
	if !m.Type.own() || m.Rows != src.Rows || m.Cols != src.Cols {
		panic(fmt.Sprintf("simd: Quantize: %s of %d × %d from %s of %d × %d", m.Type, m.Rows, m.Cols, src.Type, src.Rows, src.Cols))
	}
	x, size := scratch[:roundUp(m.Cols, pure.OwnBlock)], m.Type.RowBytes(m.Cols)
	var rows []byte // of a panel
	if m.kernel != nil {
		rows = make([]byte, PanelRows*size)
	}
	for p := lo; p < hi; p++ {
		if m.kernel == nil {
			rows = m.data[p*PanelRows*size:]
		}
		lanes := min(PanelRows, m.Rows-p*PanelRows)
		for lane := range lanes {
			clear(x[m.Cols:])
			src.Row(x[:m.Cols], p*PanelRows+lane)
			active.turn(x, x)
			if !quantizeRow(m.Type, rows[lane*size:][:size], x) {
				return ErrNotFinite
			}
		}
		if m.kernel != nil {
			packOwn(m.Type, m.panel(p), rows, lanes)
		}
	}
	return nil
}

// quantizeRow makes a stored row of turned weights.
func quantizeRow(t Type, row []byte, x []float32) bool {
	if t == I8 {
		return pure.QuantizeI8(row, x)
	}
	return pure.QuantizeI4(row, x, active.sumFit)
}
