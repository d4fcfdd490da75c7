package simd

import (
	"fmt"
	"unsafe"
)

// A kernel multiplies panels of one weight type with activations of one form.
type kernel struct {
	what string // for people
	form form
	per  int  // weights of a row that n counts as one
	half bool // of attention: binary16
	// run computes rows rows of c, see avx512.Tile.
	run func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int)
	// wide, unless nil, is run of up to wideRows rows and two panels, the second
	// next bytes after the first, with the same bits; its results follow in c. It
	// asks for what lies ahead bytes after them.
	wide func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int)
	any  bool // wide takes any number of rows
	lone bool // but not one: its chain keeps up with memory, which two panels read as two streams
	// tiles, unless nil, is run of as many of the first rows as it is for, with all
	// panels; it returns their number, and run computes the others, with the same
	// bits.
	tiles func(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int
}

// fewRows are the rows that a kernel with tiles takes at once: with more of them
// it pays to have several panels.
const fewRows = 32

// wideRows are the rows that a chain each does not keep the multiplier busy with.
const wideRows = 3

// takesWide tells whether rows rows are for wide.
func (k *kernel) takesWide(rows int) bool {
	return k.wide != nil && (rows <= wideRows || k.any) && (rows > 1 || !k.lone)
}

// panels is run of several panels, next bytes apart, whose results follow one
// another in c. ahead is where the panels lie that are read after these.
func (k *kernel) panels(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int) {
	const out = 4 * PanelRows
	if k.tiles != nil {
		done := k.tiles(panels, rows, n, x, w, c, lda, ldc, accumulate, next)
		if done == rows {
			return
		}
		x, c, rows = unsafe.Add(x, done*lda), unsafe.Add(c, done*ldc), rows-done
	}
	i := 0 // each pointer is made anew: none may lie behind the last panel
	if k.takesWide(rows) {
		for ; i+2 <= panels; i += 2 {
			k.wide(rows, n, x, unsafe.Add(w, i*next), unsafe.Add(c, i*out), lda, ldc, accumulate, next, ahead)
		}
	}
	for ; i < panels; i++ {
		if ahead != 0 {
			prefetch(w, i*next+ahead, next)
		}
		k.run(rows, n, x, unsafe.Add(w, i*next), unsafe.Add(c, i*out), lda, ldc, accumulate)
	}
}

// prefetch asks for n bytes from ahead bytes after p on: they may be no part of
// what p points to.
//
//go:nocheckptr
func prefetch(p unsafe.Pointer, ahead, n int) {
	active.prefetch(unsafe.Slice((*byte)(unsafe.Add(p, ahead)), n))
}

// Plan says what multiplies each weight type in one mode. Where a type has no
// kernel, its matrices stay as they are stored and package pure computes.
type Plan struct {
	Fast    bool
	kernels [numTypes]*kernel
	kv      *kernel  // of attention: F32 or F16 panels; nil: rows of float32
	why     []string // choices that may surprise
}

// NewPlan is the plan of this process for exact or fast mode. It follows from
// the processor's features and DisableEnv, never from a timing.
func NewPlan(fast bool) *Plan {
	if active.plan == nil {
		return &Plan{Fast: fast}
	}
	return active.plan(fast)
}

// Packs tells whether matrices of type t are multiplied from panels.
func (p *Plan) Packs(t Type) bool { return p.kernels[t] != nil }

// HalfKV tells whether attention keeps keys and values in 16 bits.
func (p *Plan) HalfKV() bool { return p.kv != nil && p.kv.half }

// Panels is the twin of m in panels, still empty, in mem, which is zero, begins
// at an address that is a multiple of 64 and has m.PanelBytes() bytes.
func (p *Plan) Panels(m *Matrix, mem []byte) Matrix {
	return Matrix{Type: m.Type, Rows: m.Rows, Cols: m.Cols, panels: mem[:m.PanelBytes()],
		stride: m.Type.panelBytes(m.Cols), kernel: p.kernels[m.Type]}
}

// PanelPair is Panels of two matrices of one type and shape whose panels take
// turns in mem, of twice the bytes: products of both with the same rows, panel
// by panel, read memory as one stream.
func (p *Plan) PanelPair(a, b *Matrix, mem []byte) (Matrix, Matrix) {
	if a.Type != b.Type || a.Rows != b.Rows || a.Cols != b.Cols {
		panic(fmt.Sprintf("simd: PanelPair: %s of %d × %d and %s of %d × %d", a.Type, a.Rows, a.Cols, b.Type, b.Rows, b.Cols))
	}
	size := a.Type.panelBytes(a.Cols)
	mem = mem[:2*a.PanelBytes()]
	first, second := p.Panels(a, mem), p.Panels(b, mem[size:])
	first.panels, first.stride = mem, 2*size
	second.panels, second.stride = mem[size:], 2*size
	return first, second
}
