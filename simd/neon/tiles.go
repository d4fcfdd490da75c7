//go:build arm64 && !purego

package neon

import (
	"sync"
	"unsafe"
)

// Tile multiplies a fixed number of activation rows with a panel of 16 weight
// rows:
//
//	for m := range rows {
//		for lane := range 16 {
//			acc := c[m*ldc+lane] if accumulate, else 0
//			for k := range n { // ascending: elements or blocks of 32
//				acc = the step of the tile's kind
//			}
//			c[m*ldc+lane] = acc
//		}
//	}
//
// lda and ldc are bytes between rows of x and of c. n is positive; where it
// counts elements it is a multiple of 8.
type Tile func(n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int)

// Tiles are the tiles of one kind. A row's bits are the same in each of them.
type Tiles struct {
	tiles []Tile // of 1, 2, … rows

	// What many rows are multiplied with: decode widens n elements or blocks of a
	// panel to float32, the very numbers that the tiles multiply.
	decode     func(n int, w, dst unsafe.Pointer)
	per, bytes int // elements, and bytes of a panel, that n counts as one
}

// decoded is how many k of a panel are widened at once: 16 KB.
const decoded = 256

// scratch holds [decoded][16]float32.
var scratch = sync.Pool{New: func() any { return new([decoded * 16]float32) }}

// Run is a tile of any number of rows. More than two of the largest tiles, or for
// blocks more than one, are worth widening the panel first, a part that stays in
// the first cache.
func (t *Tiles) Run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	most := len(t.tiles)
	if t.per == 1 {
		most *= 2
	}
	if t.decode == nil || rows <= most {
		t.run(rows, n, x, w, c, lda, ldc, accumulate)
		return
	}
	wide := scratch.Get().(*[decoded * 16]float32)
	defer scratch.Put(wide)
	for n > 0 {
		m := min(n, decoded/t.per)
		callDecode(t.decode, m, w, unsafe.Pointer(wide))
		F32.run(rows, m*t.per, x, unsafe.Pointer(wide), c, lda, ldc, accumulate)
		if n -= m; n > 0 {
			x, w, accumulate = unsafe.Add(x, 4*m*t.per), unsafe.Add(w, m*t.bytes), 1
		}
	}
}

// run is a sum of tiles.
func (t *Tiles) run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	for {
		r := min(rows, len(t.tiles))
		call(t.tiles[r-1], n, x, w, c, lda, ldc, accumulate)
		if rows -= r; rows == 0 {
			return
		}
		x, c = unsafe.Add(x, r*lda), unsafe.Add(c, r*ldc)
	}
}

// WideTile is a Tile on two panels, the second next bytes after the first; its 16
// results follow those of the first in c. It asks the memory for as much from
// ahead bytes after each panel on.
type WideTile func(n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int)

// WideTiles are the tiles of one kind on two panels, of one and of two rows. A
// row's bits are those of Tiles.
type WideTiles [2]WideTile

// Run is a tile of any number of rows.
func (t *WideTiles) Run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int) {
	for {
		r := min(rows, len(t))
		callWide(t[r-1], n, x, w, c, lda, ldc, accumulate, next, ahead)
		if rows -= r; rows == 0 {
			return
		}
		x, c = unsafe.Add(x, r*lda), unsafe.Add(c, r*ldc)
	}
}

//go:noinline
func callWide(t WideTile, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int) {
	t(n, x, w, c, lda, ldc, accumulate, next, ahead)
}

// call and callDecode are where assembly is entered: it cannot be preempted, so
// each time a Go function's prologue looks whether someone waits.
//
//go:noinline
func call(t Tile, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	t(n, x, w, c, lda, ldc, accumulate)
}

//go:noinline
func callDecode(decode func(n int, w, dst unsafe.Pointer), n int, w, dst unsafe.Pointer) {
	decode(n, w, dst)
}
