//go:build amd64 && !purego

package avx2

import (
	"sync"
	"unsafe"
)

// Decoded are the exact tiles of quantized panels. Many rows share the decoding: a
// few blocks at a time become a panel of float32, which F32 multiplies, with the
// bits that the tiles give.
type Decoded struct {
	tiles     Tiles
	rows      int                                // from how many on decoding once is faster
	decode    func(n int, w, dst unsafe.Pointer) // n blocks of a panel
	per, step int                                // elements of a row's block; bytes of decodeStep elements of a panel
}

// decodeStep elements of each row are decoded at once: 16 KB, half of the first
// cache.
const decodeStep = 256

type decodeScratch [decodeStep * 16]float32

var decodePool = sync.Pool{New: func() any { return new(decodeScratch) }}

// Run is a tile of any number of rows, n counts blocks.
func (d *Decoded) Run(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	if rows < d.rows {
		d.tiles.Run(rows, n, x, w, c, lda, ldc, accumulate)
		return
	}
	d.RunBy(F32.Run, rows, n, x, w, c, lda, ldc, accumulate)
}

// RunBy decodes for f32, the Run of tiles of float32.
func (d *Decoded) RunBy(f32 func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int),
	rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
	scratch := decodePool.Get().(*decodeScratch)
	defer decodePool.Put(scratch)
	for {
		blocks := min(n, decodeStep/d.per)
		d.decode(blocks, w, unsafe.Pointer(scratch))
		f32(rows, d.per*blocks, x, unsafe.Pointer(scratch), c, lda, ldc, accumulate)
		if n -= blocks; n == 0 {
			return
		}
		x, w, accumulate = unsafe.Add(x, 4*decodeStep), unsafe.Add(w, d.step), 1
	}
}
