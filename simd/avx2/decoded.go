//go:build amd64 && !purego

package avx2

import (
	"sync"
	"unsafe"
)

// Decoded are the exact tiles of blocks of 32. Many rows share the decoding: a few
// blocks at a time become a panel of float32, which F32 multiplies, with the bits
// that the tiles give.
type Decoded struct {
	tiles  Tiles
	decode func(n int, w, dst unsafe.Pointer) // n blocks of a panel
	bytes  int                                // of a block in a panel
}

// decodeRows is from how many rows on the decoding is shared.
const decodeRows = 12

// decodeBlocks blocks are decoded at once: 16 KB, half of the first cache.
const decodeBlocks = 8

var decodeScratch = sync.Pool{New: func() any { return new([decodeBlocks * 32 * 16]float32) }}

// Run is a tile of any number of rows, n counts blocks.
func (d *Decoded) Run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	if rows < decodeRows {
		d.tiles.Run(rows, n, x, w, c, lda, ldc, accumulate)
		return
	}
	scratch := decodeScratch.Get().(*[decodeBlocks * 32 * 16]float32)
	defer decodeScratch.Put(scratch)
	for n > 0 {
		blocks := min(n, decodeBlocks)
		d.decode(blocks, w, unsafe.Pointer(scratch))
		F32.Run(rows, 32*blocks, x, unsafe.Pointer(scratch), c, lda, ldc, accumulate)
		n, accumulate = n-blocks, 1
		x, w = unsafe.Add(x, 128*blocks), unsafe.Add(w, d.bytes*blocks)
	}
}
