package simd

import "unsafe"

// A form is a shape of activations that some kernel multiplies.
type form uint8

const (
	formFloat    form = iota // float32, always there
	formBF16                 // bfloat16
	formBias128              // int8 blocks with -128·Σq
	formBias8                // int8 blocks with -8·Σq
	formSum                  // int8 blocks with scale·Σq
	formBias16               // int8 blocks with -16·Σq
	formHalves32             // int8 blocks with -32·Σq of the first and the last 16
	numForms
)

// Rows are activations, one row for each position, as float32 and in the other
// forms that the products of these rows want. A form is made once for all
// products.
//
// Rows are padded: the elements after Width are zeros, and the stride is no
// multiple of a large power of two, or twelve rows would fall into one set of
// the first cache.
type Rows struct {
	Width  int
	Stride int       // of F32, in elements
	F32    []float32 // (n, Stride)
	forms  [numForms]formRows
}

type formRows struct {
	wanted bool
	stride int    // bytes
	data   []byte // (n, stride)
}

// blockBytes is the size of an int8 block of 32 activations.
func (f form) blockBytes() int {
	if f == formHalves32 {
		return 44
	}
	return 40
}

// NewRows makes rows of no position yet, for activations of the given width.
func NewRows(width int) Rows {
	return Rows{Width: width, Stride: roundUp(width, 32) + PanelRows}
}

// Want says that m will multiply these rows.
func (r *Rows) Want(m *Matrix) {
	if m.kernel == nil || m.kernel.form == formFloat {
		return
	}
	f := &r.forms[m.kernel.form]
	f.wanted = true
	if m.kernel.form == formBF16 {
		f.stride = 2 * r.Stride
	} else {
		f.stride = roundUp(r.Width, 32)/32*m.kernel.form.blockBytes() + 64
	}
}

// Grow makes room for n positions.
func (r *Rows) Grow(n int) {
	if n*r.Stride <= len(r.F32) {
		return
	}
	r.F32 = make([]float32, n*r.Stride)
	for i := range r.forms {
		if f := &r.forms[i]; f.wanted {
			f.data = make([]byte, n*f.stride)
		}
	}
}

// Row is the row of position t.
func (r *Rows) Row(t int) []float32 { return r.F32[t*r.Stride:][:r.Width] } // (Width,)

// Convert makes the wanted forms of elements [lo, hi) of row t. lo is a multiple
// of 32, and so is hi where it is not Width.
func (r *Rows) Convert(t, lo, hi int) {
	for i := range r.forms {
		f := &r.forms[i]
		if !f.wanted {
			continue
		}
		dst := f.data[t*f.stride:][:f.stride]
		if form(i) == formBF16 {
			hi := roundUp(hi, 16)
			active.convert(form(i), dst[2*lo:2*hi], r.F32[t*r.Stride:][lo:hi])
		} else {
			block := form(i).blockBytes()
			active.convert(form(i), dst[lo/32*block:hi/32*block], r.F32[t*r.Stride:][lo:hi])
		}
	}
}

// operand is the memory of a form and the bytes from one row to the next.
func (r *Rows) operand(f form) (x unsafe.Pointer, lda int) {
	if f == formFloat {
		return pointer(r.F32), 4 * r.Stride
	}
	return pointer(r.forms[f].data), r.forms[f].stride
}
