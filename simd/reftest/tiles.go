//go:build linux

package reftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A Tile is a unit's kernel of one kind: rows rows of c from the activations x
// and the panel w, as package simd calls it.
type Tile struct {
	Kind
	Run func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int)
}

// Tiles tests that every row has the exact bits of its chain in every tile, alone
// and in company, from zero and from c; that nothing is read beyond the operands,
// which end at guard pages; and that nothing beside the 16 lanes is written.
func Tiles(t *testing.T, tiles []Tile) { testTiles(t, tiles, 27) }

func testTiles(t *testing.T, tiles []Tile, most int) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, ref := range tiles {
		t.Run(ref.Name, func(t *testing.T) {
			for rows := 1; rows <= most; rows++ {
				for _, k := range depths(ref.Per) {
					if ref.Per < 256 || k == 256 || rows%4 == 1 {
						checkTile(t, r, &ref, rows, k, rows%2)
					}
				}
			}
		})
	}
}

// LongTiles is Tiles for rows that a unit may cut along k.
func LongTiles(t *testing.T, tiles []Tile) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, ref := range tiles {
		t.Run(ref.Name, func(t *testing.T) {
			for i, k := range []int{256, 288, 512, 544} {
				for _, rows := range []int{1, 3, 9, 17} {
					if k%ref.Per != 0 {
						continue
					}
					checkTile(t, r, &ref, rows, k, i%2)
				}
			}
		})
	}
}

// depths are numbers of k of a kind whose tiles count per of them as one.
func depths(per int) []int {
	switch per {
	case 256:
		return []int{256, 512}
	case 64:
		return []int{64, 128, 192, 320, 448, 576}
	case 32:
		return []int{32, 96, 160}
	default:
		return []int{32, 96, 160, 8, 24}
	}
}

// checkTile compares one call of Run.
func checkTile(t testing.TB, r *rand.Rand, ref *Tile, rows, k, accumulate int) {
	t.Helper()
	floats := make([][]byte, rows)
	for m := range floats {
		x := make([]float32, k)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		floats[m] = ref.Row(x, k)
	}
	lda := len(floats[0]) + 4*r.IntN(20)
	x := Guarded[byte](t, (rows-1)*lda+len(floats[0]))
	for m, row := range floats {
		copy(x[m*lda:], row)
	}
	panel := ref.Panel(r, k)
	w := Guarded[byte](t, len(panel))
	copy(w, panel)
	const canary = -77
	ldc := 16 + r.IntN(20)
	c := Guarded[float32](t, (rows-1)*ldc+16)
	before := make([]float32, len(c))
	for i := range c {
		if c[i] = canary; i%ldc < 16 {
			c[i] = float32(r.NormFloat64())
		}
	}
	copy(before, c)
	ref.Run(rows, k/ref.Per, unsafe.Pointer(&x[0]), unsafe.Pointer(&w[0]), unsafe.Pointer(&c[0]), lda, 4*ldc, accumulate)
	for i, got := range c {
		m, lane := i/ldc, i%ldc
		want := before[i]
		if lane < 16 {
			if accumulate == 0 {
				want = 0
			}
			want = ref.Step(want, panel, lane, floats[m], k)
		}
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("%s, %d rows, k %d, accumulate %d: [%d, %d] is %v, want %v", ref.Name, rows, k, accumulate, m, lane, got, want)
		}
	}
}

// A WideTile is a unit's kernel of one kind on two panels, the second next bytes
// after the first, and the one that is asked for ahead bytes after that.
type WideTile struct {
	Kind
	MaxRows int
	Run     func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next, ahead int)
}

// one is the WideTile as a Tile, on the first or the second of its panels: the
// other is zeros in what it reads, and its results are thrown away.
func (w *WideTile) one(second bool) Tile {
	sizes := map[int]int{}
	return Tile{w.Kind, func(rows, n int, x, panel, c unsafe.Pointer, lda, ldc, accumulate int) {
		size := sizes[n]
		if size == 0 {
			size = len(w.Panel(rand.New(rand.NewPCG(3, 4)), n*w.Per))
			sizes[n] = size
		}
		const gap = 192
		both, out, at := make([]byte, 2*size+gap), make([]float32, 32), 0
		if second {
			at = 1
		}
		copy(both[at*(size+gap):], unsafe.Slice((*byte)(panel), size))
		for rows > 0 {
			m := min(rows, w.MaxRows)
			out = append(out[:0], make([]float32, m*40)...)
			for i := range m {
				copy(out[i*40+at*16:][:16], unsafe.Slice((*float32)(unsafe.Add(c, i*ldc)), 16))
			}
			w.Run(m, n, x, unsafe.Pointer(&both[0]), unsafe.Pointer(&out[0]), lda, 160, accumulate, size+gap, 2*(size+gap))
			for i := range m {
				copy(unsafe.Slice((*float32)(unsafe.Add(c, i*ldc)), 16), out[i*40+at*16:])
				for _, v := range out[i*40+32:][:8] {
					if v != 0 {
						panic("reftest: a wide tile wrote beside its 32 lanes")
					}
				}
			}
			x, c, rows = unsafe.Add(x, m*lda), unsafe.Add(c, m*ldc), rows-m
		}
	}}
}

// WideTiles is Tiles for both panels of wide tiles.
func WideTiles(t *testing.T, tiles []WideTile) {
	for _, second := range []bool{false, true} {
		var ones []Tile
		for i := range tiles {
			ones = append(ones, tiles[i].one(second))
		}
		t.Run(fmt.Sprintf("second=%v", second), func(t *testing.T) { testTiles(t, ones, 13) })
	}
}

// BenchmarkWideTiles is BenchmarkTiles on two panels.
func BenchmarkWideTiles(b *testing.B, tiles []WideTile) {
	const k = 2048
	r := rand.New(rand.NewPCG(1, 2))
	for _, ref := range tiles {
		panel := ref.Panel(r, k)
		size := len(panel)
		panel = append(panel, panel...)
		row := ref.Row(make([]float32, k), k)
		x, c := make([]byte, ref.MaxRows*(len(row)+64)), make([]float32, ref.MaxRows*32)
		for rows := 1; rows <= ref.MaxRows; rows++ {
			b.Run(fmt.Sprintf("%s/rows=%d", ref.Name, rows), func(b *testing.B) {
				for b.Loop() {
					ref.Run(rows, k/ref.Per, unsafe.Pointer(&x[0]), unsafe.Pointer(&panel[0]), unsafe.Pointer(&c[0]), len(row)+64, 128, 0, size, 0)
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(2*32*k*float64(rows)/seconds/1e9, "Gop/s")
				b.ReportMetric(float64(len(panel))/seconds/1e9, "GB/s")
			})
		}
	}
}

// FuzzTiles picks kinds, shapes, alignments and seeds.
func FuzzTiles(f *testing.F, tiles []Tile) {
	for i := range tiles {
		f.Add(uint64(i), byte(i), byte(3), byte(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, kind, rows, k byte) {
		ref := &tiles[int(kind)%len(tiles)]
		step := max(8, ref.Per)
		checkTile(t, rand.New(rand.NewPCG(seed, 1)), ref, 1+int(rows)%40, step*(1+int(k)%12), int(seed%2))
	})
}

// BenchmarkTiles runs tiles of the given numbers of rows on a panel in L2.
func BenchmarkTiles(b *testing.B, tiles []Tile, rows ...int) {
	const k = 2048
	r := rand.New(rand.NewPCG(1, 2))
	for _, ref := range tiles {
		panel := ref.Panel(r, k)
		row := ref.Row(make([]float32, k), k)
		x := make([]byte, slices.Max(rows)*(len(row)+64))
		c := make([]float32, slices.Max(rows)*16)
		for _, rows := range rows {
			b.Run(fmt.Sprintf("%s/rows=%d", ref.Name, rows), func(b *testing.B) {
				for b.Loop() {
					ref.Run(rows, k/ref.Per, unsafe.Pointer(&x[0]), unsafe.Pointer(&panel[0]), unsafe.Pointer(&c[0]), len(row)+64, 64, 0)
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(2*16*k*float64(rows)/seconds/1e9, "Gop/s")
				b.ReportMetric(float64(len(panel))/seconds/1e9, "GB/s")
			})
		}
	}
}
