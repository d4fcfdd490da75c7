//go:build amd64 && !purego

package amx

import (
	"sync"
	"unsafe"
)

// A config is the operand of LDTILECFG.
type config struct {
	palette, start uint8
	_              [14]uint8
	bytes          [16]uint16 // of a row
	rows           [16]uint8
}

// tileRows is the number of rows of a tile, pair that of two.
const (
	tileRows = 16
	pair     = 2 * tileRows
)

// one[m] is for one row tile of m activation rows, two[m] for two of which the
// second has m. Rows that are not there are neither read nor written.
var one, two = func() (one, two [tileRows + 1]config) {
	for m := 1; m <= tileRows; m++ {
		for t := range 8 {
			one[m].bytes[t], two[m].bytes[t] = 64, 64
			one[m].rows[t], two[m].rows[t] = tileRows, tileRows
		}
		for _, t := range []int{0, 1, 2, 3, 4} { // sums of four panels, activations
			one[m].rows[t] = uint8(m)
		}
		for _, t := range []int{2, 3, 5} { // sums of two panels, activations
			two[m].rows[t] = uint8(m)
		}
		one[m].palette, two[m].palette = 1, 1
	}
	return one, two
}()

// Blocks of the loops, in steps of a row of a tile: 32 bfloat16 or 64 int8. The
// weights of a block and two panels are 32 KB and stay in the first cache while
// rowBlock rows pass; these are 1 MB at deepBlock steps and stay in the second.
const (
	stepBlock = 16
	deepBlock = 64
	rowBlock  = 256
	fewBlock  = 512 // of four panels, 2 MB: 0.1 ms from memory
)

// BF16Step is the number of k of a step of BF16: k is a multiple of it.
const BF16Step = 32

type bf16Tile func(steps, count int, cfg, x, w, c unsafe.Pointer, ahead, lda, ldc, next, acc int)

// BF16 multiplies rows of bfloat16 activations with panels [k/2][16][2] of
// bfloat16, by TDPBF16PS:
//
//	for m := range rows {
//		for p := range panels {
//			for lane := range 16 {
//				acc := c[m*ldc+16*p+lane] if accumulate, else 0
//				for k := range n { // by steps of 32
//					even, odd := 0, 0
//					for i := range 16 {
//						even = fma(x[m][k+2*i], w[p][k+2*i][lane], even)
//						odd = fma(x[m][k+2*i+1], w[p][k+2*i+1][lane], odd)
//					}
//					acc += even + odd
//				}
//				c[m*ldc+16*p+lane] = acc
//			}
//		}
//	}
//
// All is rounded to nearest, even; numbers below the normal ones are taken and
// given as zeros. n is a positive multiple of 32, lda and ldc are bytes between
// rows of x and c, next those between panels.
func BF16(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) {
	steps := n / BF16Step
	for at := 0; at < rows; at += rowBlock {
		m := min(rows-at, rowBlock)
		few := m % pair
		if few > tileRows {
			few = 0
		}
		if many := m - few; many > 0 {
			bf16Many(panels, many, steps, unsafe.Add(x, at*lda), w, unsafe.Add(c, at*ldc), lda, ldc, accumulate, next)
		}
		if few > 0 {
			at := at + m - few
			bf16Few(panels, few, steps, unsafe.Add(x, at*lda), w, unsafe.Add(c, at*ldc), lda, ldc, accumulate, next)
		}
	}
}

// bf16Few takes up to 16 rows: the panels are read once, as up to four streams.
func bf16Few(panels, rows, steps int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) {
	cfg := unsafe.Pointer(&one[rows])
	for p := 0; p < panels; {
		f, wide := bf16x1x1, 1
		switch {
		case p+4 <= panels:
			f, wide = bf16x1x4, 4
		case p+2 <= panels:
			f, wide = bf16x1x2, 2
		}
		for s := 0; s < steps; s += fewBlock {
			acc := accumulate
			if s > 0 {
				acc = 1
			}
			call(f, min(fewBlock, steps-s), 1, cfg, unsafe.Add(x, s*64), unsafe.Add(w, p*next+s*1024), unsafe.Add(c, p*4*tileRows), 0, lda, ldc, next, acc)
		}
		p += wide
	}
}

// bf16Many takes up to rowBlock rows, of which the last 32 may lack up to 15.
func bf16Many(panels, rows, steps int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) {
	for at := 0; at < steps; {
		deep := min(steps-at, deepBlock)
		blocks := (deep + stepBlock - 1) / stepBlock
		block := (deep + blocks - 1) / blocks // even ones
		for p := 0; p < panels; p += 2 {
			f := bf16x2x2
			if p+1 == panels {
				f = bf16x2x1
			}
			for s := at; s < at+deep; s += block {
				n := min(block, at+deep-s)
				acc := accumulate
				if s > 0 {
					acc = 1
				}
				a, b, to := unsafe.Add(x, s*64), unsafe.Add(w, p*next+s*1024), unsafe.Add(c, p*4*tileRows)
				ahead := 0
				switch {
				case rows < 4*pair:
				case s+n < at+deep:
					ahead = n * 1024
				default:
					ahead = 2*next - (s-at)*1024
				}
				whole, rest := rows/pair, rows%pair
				if whole > 0 {
					call(f, n, whole, unsafe.Pointer(&two[tileRows]), a, b, to, ahead, lda, ldc, next, acc)
				}
				if rest > 0 {
					at := whole * pair
					call(f, n, 1, unsafe.Pointer(&two[rest-tileRows]), unsafe.Add(a, at*lda), b, unsafe.Add(to, at*ldc), 0, lda, ldc, next, acc)
				}
			}
		}
		at += deep
	}
}

// call is the one place where tiles are entered: assembly cannot be preempted, so
// each time a Go function's prologue looks whether someone waits.
//
//go:noinline
func call(f bf16Tile, steps, count int, cfg, x, w, c unsafe.Pointer, ahead, lda, ldc, next, acc int) {
	f(steps, count, cfg, x, w, c, ahead, lda, ldc, next, acc)
}

type int8Tile func(subs, rows int, cfg, x, w, c, scratch unsafe.Pointer, lda, ldc, next, acc int)

// int8Kind is one of the project's own formats.
type int8Kind struct {
	pair, single int8Tile
	subs         int // 64 k each, of a group
	subBytes     int // of 64 k of a panel
	unpack       bool
}

var (
	i8 = int8Kind{int8I8x2, int8I8x1, 4, 1024, false}
	i4 = int8Kind{int8I4x2, int8I4x1, 2, 512, true}
)

// I8 multiplies as many of the rows as tiles are for, and returns their number;
// the others are for package avx512's Int8I8, with which every result agrees bit
// for bit: sums of integers are exact, and the same steps follow. n counts 64 k.
func I8(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int {
	return i8.run(panels, rows, n, x, w, c, lda, ldc, accumulate, next)
}

// I4 is I8 for panels of I4 and Int8I4.
func I4(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int {
	return i4.run(panels, rows, n, x, w, c, lda, ldc, accumulate, next)
}

// Blocks of int8: 64 KB of two panels of bytes.
const (
	int8Block    = 32 // subs, whole groups of activations
	int8Rows     = 512
	bytesOfPanel = int8Block * (1024 + 32) // of a block, with scales
)

// An int8Scratch holds sums of two groups and what I4 is unpacked to.
type int8Scratch struct {
	sums   [8192]byte
	panels [2 * bytesOfPanel]byte
}

var int8Scratches = sync.Pool{New: func() any { return new(int8Scratch) }}

// panelBytes is the size of subs times 64 k from the beginning of a group on.
func (q *int8Kind) panelBytes(subs int) int {
	return (subs+q.subs-1)/q.subs*64 + subs*q.subBytes
}

func (q *int8Kind) run(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int {
	const actSubs, actGroup = 4, 64 + 256
	if rows%pair <= tileRows {
		rows = rows / pair * pair
	}
	if rows == 0 {
		return 0
	}
	s := int8Scratches.Get().(*int8Scratch)
	defer int8Scratches.Put(s)
	for first := 0; first < rows; first += int8Rows {
		last := min(rows, first+int8Rows)
		for p := 0; p < panels; p += 2 {
			f := q.pair
			if p+1 == panels {
				f = q.single
			}
			for at := 0; at < n; at += int8Block {
				subs := min(n-at, int8Block)
				b, step := unsafe.Add(w, p*next+q.panelBytes(at)), next
				if q.unpack {
					to := unsafe.Pointer(&s.panels)
					unpackI4(subs, to, b)
					if p+1 < panels {
						unpackI4(subs, unsafe.Add(to, bytesOfPanel), unsafe.Add(b, next))
					}
					b, step = to, bytesOfPanel
				}
				acc := accumulate
				if at > 0 {
					acc = 1
				}
				for r := first; r < last; r += pair {
					m := min(pair, last-r)
					callInt8(f, subs, m, unsafe.Pointer(&two[m-tileRows]), unsafe.Add(x, r*lda+at/actSubs*actGroup),
						b, unsafe.Add(c, r*ldc+p*4*tileRows), unsafe.Pointer(&s.sums), lda, ldc, step, acc)
				}
			}
		}
	}
	return rows
}

// callInt8 is call.
//
//go:noinline
func callInt8(f int8Tile, subs, rows int, cfg, x, w, c, scratch unsafe.Pointer, lda, ldc, next, acc int) {
	f(subs, rows, cfg, x, w, c, scratch, lda, ldc, next, acc)
}
