package simd

import (
	"fmt"
	"unsafe"

	"github.com/llama-go/llama-go/simd/pure"
)

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
	formTurned               // float32, turned by Hadamard
	formOwn                  // int8 groups of turned activations
	numForms
)

// converters are what a unit makes forms of activations with; bf16 is nil where no
// kernel takes that form.
type converters struct {
	bias, halves func(dst []byte, src []float32, bias int)
	sum, own     func(dst []byte, src []float32)
	bf16         func(dst []uint16, src []float32)
}

// to makes a form of whole blocks.
func (c converters) to(f form, dst []byte, src []float32) {
	switch {
	case f == formBF16 && c.bf16 != nil:
		c.bf16(as[uint16](dst), src)
	case f == formBias128:
		c.bias(dst, src, -128)
	case f == formBias8:
		c.bias(dst, src, -8)
	case f == formBias16:
		c.bias(dst, src, -16)
	case f == formHalves32:
		c.halves(dst, src, -32)
	case f == formSum:
		c.sum(dst, src)
	case f == formOwn:
		c.own(dst, src)
	default:
		panic(fmt.Sprintf("simd: no conversion to form %d", f))
	}
}

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
	turned *Rows // formTurned, (n, Stride); nil unless wanted
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
	return Rows{Width: width, Stride: roundUp(width, pure.OwnBlock) + PanelRows}
}

// Want says that m will multiply these rows.
func (r *Rows) Want(m *Matrix) {
	form := formFloat
	switch {
	case m.kernel != nil:
		form = m.kernel.form
	case m.Type.own():
		form = formTurned
	}
	f := &r.forms[form]
	switch form {
	case formFloat:
		return
	case formTurned:
		if r.turned == nil {
			turned := NewRows(roundUp(r.Width, pure.OwnBlock))
			r.turned = &turned
		}
		return
	case formBF16: // an odd number of cache lines, each within one row
		f.stride = 64 * (roundUp(r.Width, 32)/32 | 1)
	case formOwn:
		f.stride = ownActBytes(r.Width) + 64
	default:
		f.stride = roundUp(r.Width, 32)/32*form.blockBytes() + 64
	}
	f.wanted = true
}

// Whole tells whether Convert takes whole rows only.
func (r *Rows) Whole() bool { return r.turned != nil || r.forms[formOwn].wanted }

// Grow makes room for n positions.
func (r *Rows) Grow(n int) {
	if n*r.Stride <= len(r.F32) {
		return
	}
	r.F32 = make([]float32, n*r.Stride)
	if r.turned != nil {
		r.turned.Grow(n)
	}
	for i := range r.forms {
		if f := &r.forms[i]; f.wanted {
			f.data = make([]byte, n*f.stride)
		}
	}
}

// Row is the row of position t.
func (r *Rows) Row(t int) []float32 { return r.F32[t*r.Stride:][:r.Width] } // (Width,)

// Convert makes the wanted forms of elements [lo, hi) of row t. lo is a multiple
// of 32, and so is hi where it is not Width; if r.Whole they are 0 and Width.
func (r *Rows) Convert(t, lo, hi int) {
	if r.Whole() && (lo != 0 || hi != r.Width) {
		panic(fmt.Sprintf("simd: Convert: elements [%d, %d) of %d, which are turned as a whole", lo, hi, r.Width))
	}
	padded := r.F32[t*r.Stride:][:roundUp(r.Width, pure.OwnBlock)]
	if r.turned != nil {
		active.turn(r.turned.Row(t), padded)
	}
	for i := range r.forms {
		f := &r.forms[i]
		if !f.wanted {
			continue
		}
		dst := f.data[t*f.stride:][:f.stride]
		switch form(i) {
		case formOwn:
			active.convert.to(formOwn, dst[:ownActBytes(r.Width)], padded)
		case formBF16:
			hi := roundUp(hi, 16)
			active.convert.to(form(i), dst[2*lo:2*hi], r.F32[t*r.Stride:][lo:hi])
		default:
			block := form(i).blockBytes()
			active.convert.to(form(i), dst[lo/32*block:hi/32*block], r.F32[t*r.Stride:][lo:hi])
		}
	}
}

// operand is the memory of a form and the bytes from one row to the next.
func (r *Rows) operand(f form) (x unsafe.Pointer, lda int) {
	switch f {
	case formFloat:
		return pointer(r.F32), 4 * r.Stride
	case formTurned:
		return pointer(r.turned.F32), 4 * r.turned.Stride
	}
	return pointer(r.forms[f].data), r.forms[f].stride
}
