package simd

import (
	"fmt"
	"unsafe"
)

// Matrix is a weight matrix, (Rows, Cols), either as it is stored, row-major,
// every row whole blocks, or in panels of PanelRows rows.
type Matrix struct {
	Type       Type
	Rows, Cols int
	data       []byte    // Rows·RowBytes(Cols), little-endian
	f32        []float32 // the same memory, when Type is F32 and it lies aligned

	panels []byte  // instead of data
	stride int     // bytes from a panel to the next
	kernel *kernel // what multiplies them
}

// NewMatrix checks that data holds exactly rows × cols elements of t. The
// matrix reads data where it lies.
func NewMatrix(t Type, rows, cols int, data []byte) (Matrix, error) {
	if t >= numTypes {
		return Matrix{}, fmt.Errorf("simd: no kernels for weight type %d", t)
	}
	info := typeInfo[t]
	if rows < 1 || cols < 1 || cols%info.block != 0 {
		return Matrix{}, fmt.Errorf("simd: a %s matrix of %d × %d; rows must be positive and columns a multiple of %d",
			info.name, rows, cols, info.block)
	}
	if rb := t.RowBytes(cols); rb > len(data) || len(data)/rb != rows || len(data)%rb != 0 {
		return Matrix{}, fmt.Errorf("simd: a %s matrix of %d × %d takes %d bytes a row, not %d bytes in all",
			info.name, rows, cols, rb, len(data))
	}
	m := Matrix{Type: t, Rows: rows, Cols: cols, data: data}
	if t == F32 {
		m.f32 = floatView(data)
	}
	return m, nil
}

// Bytes is the size of m in memory.
func (m *Matrix) Bytes() int64 {
	if m.kernel != nil {
		return int64(m.PanelBytes())
	}
	return int64(len(m.data))
}

func (m *Matrix) row(r int) []byte {
	rb := m.Type.RowBytes(m.Cols)
	return m.data[r*rb : (r+1)*rb]
}

// Row widens row r to float32.
func (m *Matrix) Row(dst []float32, r int) { // dst: (Cols,)
	switch {
	case m.Type.own():
		m.ownRow(dst, r)
	case m.kernel != nil:
		unpackRow(m.Type, dst[:m.Cols], m.panel(r/PanelRows), r%PanelRows)
	default:
		active.rows[m.Type].decode(dst, m.row(r))
	}
}

// scratchFloats is how many weights are decoded before they are multiplied: 128
// KB, which stay in L2 beside the activations.
const scratchFloats = 32 << 10

// Scratch is the number of floats that MulRows wants as scratch.
func (m *Matrix) Scratch() int {
	if m.kernel != nil {
		return tailRows * PanelRows
	}
	return max(scratchFloats, m.width())
}

// MulRows multiplies rows [lo, hi) of m with the first n rows of x:
//
//	for t := range n {
//		for r := lo; r < hi; r++ {
//			dst[t*stride+r] = the product of m's row r and x's row t
//		}
//	}
//
// The product is the active unit's for m's type and the plan's mode, the same
// for any lo, hi and n. With panels lo is a multiple of PanelRows, and so is hi
// where it is not Rows. Each weight is read once. scratch, of m.Scratch()
// floats, is the caller's.
func (m *Matrix) MulRows(dst []float32, stride, lo, hi int, x *Rows, n int, scratch []float32) { // dst: (n, stride)
	if m.kernel == nil && m.Type.own() {
		x = x.turned
	}
	switch {
	case m.kernel != nil:
		m.mulPanels(dst, stride, lo, hi, x, n, scratch)
	case n == 1 && m.f32 != nil:
		x := x.Row(0)
		for r := lo; r < hi; r++ {
			dst[r] = active.dot(m.f32[r*m.Cols:][:m.Cols], x)
		}
	case n == 1:
		dotRow, x := active.rows[m.Type].dotRow, x.Row(0)
		for r := lo; r < hi; r++ {
			dst[r] = dotRow(m.row(r), x)
		}
	default:
		panel := max(1, len(scratch)/m.width())
		for r := lo; r < hi; r += panel {
			end := min(hi, r+panel)
			mulDecoded(dst, stride, r, m.decoded(scratch, r, end), m.width(), x, n)
		}
	}
}

// tailRows is how many rows of a last panel, whose lanes are not all rows of the
// matrix, are computed at once beside dst.
const tailRows = 12

// mulPanels is MulRows by tiles.
func (m *Matrix) mulPanels(dst []float32, stride, lo, hi int, x *Rows, n int, scratch []float32) {
	if lo >= hi || n == 0 {
		return
	}
	if lo%PanelRows != 0 || hi%PanelRows != 0 && hi != m.Rows || hi > m.Rows || x.Width != m.Cols {
		panic(fmt.Sprintf("simd: MulRows: rows [%d, %d) of %d × %d with activations of %d", lo, hi, m.Rows, m.Cols, x.Width))
	}
	a, lda := x.operand(m.kernel.form)
	k := m.Type.paddedCols(m.Cols) / m.kernel.per
	_ = dst[(n-1)*stride+hi-1]
	if whole := hi / PanelRows * PanelRows; lo < whole {
		ahead := 0
		if m.kernel.tiles == nil && m.Step(n) > PanelRows { // two streams, which the processor does not see coming
			ahead = 2 * m.stride
		}
		m.kernel.panels((whole-lo)/PanelRows, n, k, a, pointer(m.panel(lo/PanelRows)), pointer(dst[lo:]), lda, 4*stride, 0, m.stride, ahead)
		lo = whole
	}
	if lo == hi {
		return
	}
	panel := pointer(m.panel(lo / PanelRows))
	for t := 0; t < n; t += tailRows {
		rows := min(tailRows, n-t)
		m.kernel.run(rows, k, unsafe.Add(a, t*lda), panel, pointer(scratch[:tailRows*PanelRows]), lda, 4*PanelRows, 0)
		for i := range rows {
			copy(dst[(t+i)*stride+lo:(t+i)*stride+hi], scratch[i*PanelRows:])
		}
	}
}

// Step is the number of rows that MulRows computes at once with n activation
// rows: work on two matrices in turn is best done in steps of it.
func (m *Matrix) Step(n int) int {
	if m.kernel != nil && m.kernel.tiles != nil {
		if n > fewRows {
			return 8 * PanelRows // activations come from L2 or beyond once for all of them
		}
		return 2 * PanelRows
	}
	if m.kernel != nil && m.kernel.takesWide(n) {
		return 2 * PanelRows
	}
	return PanelRows
}

// decoded returns rows [lo, hi) as float32: in place when they are stored so,
// else decoded into scratch.
func (m *Matrix) decoded(scratch []float32, lo, hi int) []float32 { // (hi-lo, width)
	if m.f32 != nil {
		return m.f32[lo*m.Cols : hi*m.Cols]
	}
	w := scratch[:(hi-lo)*m.width()]
	rb := m.Type.RowBytes(m.Cols)
	if !m.Type.own() {
		active.rows[m.Type].decode(w, m.data[lo*rb:hi*rb])
		return w
	}
	for i := range hi - lo {
		active.rows[m.Type].decode(w[i*m.width():][:m.width()], m.row(lo+i))
	}
	return w
}

// mulDecoded multiplies the rows of w, the first of which is row r of the
// matrix, with n rows of x, three at a time.
func mulDecoded(dst []float32, stride, r int, w []float32, cols int, x *Rows, n int) { // w: (rows, cols)
	rows := len(w) / cols
	t := 0
	for ; t+3 <= n; t += 3 {
		x0, x1, x2 := x.Row(t), x.Row(t+1), x.Row(t+2)
		d0, d1, d2 := dst[t*stride+r:][:rows], dst[(t+1)*stride+r:][:rows], dst[(t+2)*stride+r:][:rows]
		for i := range rows {
			d0[i], d1[i], d2[i] = active.dot3(w[i*cols:][:cols], x0, x1, x2)
		}
	}
	switch n - t {
	case 2:
		x0, x1 := x.Row(t), x.Row(t+1)
		d0, d1 := dst[t*stride+r:][:rows], dst[(t+1)*stride+r:][:rows]
		for i := range rows {
			d0[i], d1[i] = active.dot2(w[i*cols:][:cols], x0, x1)
		}
	case 1:
		x0, d0 := x.Row(t), dst[t*stride+r:][:rows]
		for i := range rows {
			d0[i] = active.dot(w[i*cols:][:cols], x0)
		}
	}
}
