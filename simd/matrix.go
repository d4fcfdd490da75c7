package simd

import "fmt"

// Matrix is a weight matrix as it is stored, (Rows, Cols) row-major; every row
// is whole blocks.
type Matrix struct {
	Type       Type
	Rows, Cols int
	data       []byte    // Rows·RowBytes(Cols), little-endian
	f32        []float32 // the same memory, when Type is F32 and it lies aligned
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

// Bytes is the stored size.
func (m *Matrix) Bytes() int64 { return int64(len(m.data)) }

func (m *Matrix) row(r int) []byte {
	rb := m.Type.RowBytes(m.Cols)
	return m.data[r*rb : (r+1)*rb]
}

// Row widens row r to float32.
func (m *Matrix) Row(dst []float32, r int) { // dst: (Cols,)
	active.rows[m.Type].decode(dst, m.row(r))
}

// scratchFloats is how many weights are decoded before they are multiplied: 128
// KB, which stay in L2 beside the activations.
const scratchFloats = 32 << 10

// Scratch is the number of floats that MulRows wants as scratch.
func (m *Matrix) Scratch() int { return max(scratchFloats, m.Cols) }

// MulRows multiplies rows [lo, hi) of m with n rows of activations:
//
//	for t := range n {
//		for r := lo; r < hi; r++ {
//			dst[t*stride+r] = Dot(m[r], x[t*Cols:][:Cols])
//		}
//	}
//
// Each weight is decoded once. scratch, of m.Scratch() floats, is the caller's.
func (m *Matrix) MulRows(dst []float32, stride, lo, hi int, x []float32, n int, scratch []float32) { // dst: (n, stride), x: (n, Cols)
	switch {
	case n == 1 && m.f32 != nil:
		x = x[:m.Cols]
		for r := lo; r < hi; r++ {
			dst[r] = active.dot(m.f32[r*m.Cols:][:m.Cols], x)
		}
	case n == 1:
		dotRow := active.rows[m.Type].dotRow
		x = x[:m.Cols]
		for r := lo; r < hi; r++ {
			dst[r] = dotRow(m.row(r), x)
		}
	default:
		panel := max(1, len(scratch)/m.Cols)
		for r := lo; r < hi; r += panel {
			end := min(hi, r+panel)
			mulPanel(dst, stride, r, m.panel(scratch, r, end), m.Cols, x, n)
		}
	}
}

// panel returns rows [lo, hi) as float32: in place when they are stored so,
// else decoded into scratch.
func (m *Matrix) panel(scratch []float32, lo, hi int) []float32 { // (hi-lo, Cols)
	if m.f32 != nil {
		return m.f32[lo*m.Cols : hi*m.Cols]
	}
	w := scratch[:(hi-lo)*m.Cols]
	rb := m.Type.RowBytes(m.Cols)
	active.rows[m.Type].decode(w, m.data[lo*rb:hi*rb])
	return w
}

// mulPanel multiplies the rows of w, the first of which is row r of the matrix,
// with n rows of x, three at a time.
func mulPanel(dst []float32, stride, r int, w []float32, cols int, x []float32, n int) { // w: (rows, cols), x: (n, cols)
	rows := len(w) / cols
	t := 0
	for ; t+3 <= n; t += 3 {
		x0, x1, x2 := x[t*cols:][:cols], x[(t+1)*cols:][:cols], x[(t+2)*cols:][:cols]
		d0, d1, d2 := dst[t*stride+r:][:rows], dst[(t+1)*stride+r:][:rows], dst[(t+2)*stride+r:][:rows]
		for i := range rows {
			d0[i], d1[i], d2[i] = active.dot3(w[i*cols:][:cols], x0, x1, x2)
		}
	}
	switch n - t {
	case 2:
		x0, x1 := x[t*cols:][:cols], x[(t+1)*cols:][:cols]
		d0, d1 := dst[t*stride+r:][:rows], dst[(t+1)*stride+r:][:rows]
		for i := range rows {
			d0[i], d1[i] = active.dot2(w[i*cols:][:cols], x0, x1)
		}
	case 1:
		x0, d0 := x[t*cols:][:cols], dst[t*stride+r:][:rows]
		for i := range rows {
			d0[i] = active.dot(w[i*cols:][:cols], x0)
		}
	}
}
