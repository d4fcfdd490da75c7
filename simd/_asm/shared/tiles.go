//go:build amd64 && !purego

package shared

import "unsafe"

// Tile multiplies a fixed number of activation rows with a panel of 16 weight
// rows:
//
//	for m := range rows {
//		for lane := range 16 {
//			acc := c[m*ldc+lane] if accumulate, else 0
//			for k := range n { // ascending: elements, pairs or blocks of 32
//				acc = the step of the tile's kind
//			}
//			c[m*ldc+lane] = acc
//		}
//	}
//
// lda and ldc are bytes between rows of x and of c. n is positive; where it
// counts elements it is a multiple of 8. Pairs are counted as two elements.
type Tile func(n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int)

// MaxRows is the number of rows of the largest tile.
const MaxRows = 12

// Tiles are the tiles of one kind, by their number of rows; there is one of one
// row. A row's bits are the same in each of them.
type Tiles [MaxRows + 1]Tile

// Run is a tile of any number of rows: the largest that fit, one after another, or
// two halves where one would leave fewer rows than it takes.
func (t *Tiles) Run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	for {
		r := part(rows, func(r int) bool { return t[r] != nil })
		call(t[r], n, x, w, c, lda, ldc, accumulate)
		if rows -= r; rows == 0 {
			return
		}
		x, c = unsafe.Add(x, r*lda), unsafe.Add(c, r*ldc)
	}
}

// part is the number of rows of the first tile of those that has tells of.
func part(rows int, has func(rows int) bool) int {
	r := min(rows, MaxRows)
	for !has(r) {
		r--
	}
	if half := (rows + 1) / 2; rows > r && half < r && has(half) {
		r = half
	}
	return r
}

// WideTile is a Tile on two panels, the second next bytes after the first; its 16
// results follow those of the first in c. It asks the memory for as much from
// ahead bytes after each panel on.
type WideTile func(n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int)

// MaxWideRows is the number of rows of the largest WideTile of most kinds: with
// more, one panel keeps the multiplier busy.
const MaxWideRows = 3

// WideTiles are the tiles of one kind on two panels, by their number of rows. A
// row's bits are those of Tiles.
type WideTiles [MaxRows + 1]WideTile

// Run is Tiles.Run on two panels.
func (t *WideTiles) Run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int) {
	for {
		r := part(rows, func(r int) bool { return t[r] != nil })
		callWide(t[r], n, x, w, c, lda, ldc, accumulate, next, ahead)
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

// call is the one place where tiles are entered: assembly cannot be preempted,
// so each time a Go function's prologue looks whether someone waits.
//
//go:noinline
func call(t Tile, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	t(n, x, w, c, lda, ldc, accumulate)
}
