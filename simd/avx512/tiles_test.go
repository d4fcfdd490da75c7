//go:build amd64 && linux && !purego

package avx512

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

// needAVX512 skips where the processor or the user says no.
func needAVX512(t testing.TB) {
	t.Helper()
	off := os.Getenv("LLAMA_GO_DISABLE")
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL) || strings.Contains(off, "avx512") || off == "all" {
		t.Skip("no AVX-512")
	}
}

// Every row has the exact bits of its reference in every tile, alone and in
// company, from zero and from c; nothing is read beyond the operands, which end
// at guard pages, and nothing beside the 16 lanes is written.
func TestTiles(t *testing.T) {
	needAVX512(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, ref := range references() {
		t.Run(ref.name, func(t *testing.T) {
			for rows := 1; rows <= 27; rows++ {
				for _, k := range []int{32, 96, 160, 8, 24} {
					if k%ref.per == 0 {
						checkTile(t, r, &ref, rows, k, rows%2)
					}
				}
			}
		})
	}
}

// checkTile compares one call of Run.
func checkTile(t testing.TB, r *rand.Rand, ref *reference, rows, k, accumulate int) {
	t.Helper()
	floats := make([][]byte, rows)
	for m := range floats {
		x := make([]float32, k)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		floats[m] = ref.rows(x, k)
	}
	lda := len(floats[0]) + 4*r.IntN(20)
	x := guarded[byte](t, (rows-1)*lda+len(floats[0]))
	for m, row := range floats {
		copy(x[m*lda:], row)
	}
	panel := ref.panel(r, k)
	w := guarded[byte](t, len(panel))
	copy(w, panel)
	const canary = -77
	ldc := 16 + r.IntN(20)
	c := guarded[float32](t, (rows-1)*ldc+16)
	before := make([]float32, len(c))
	for i := range c {
		if c[i] = canary; i%ldc < 16 {
			c[i] = float32(r.NormFloat64())
		}
	}
	copy(before, c)
	ref.tiles.Run(rows, k/ref.per, unsafe.Pointer(&x[0]), unsafe.Pointer(&w[0]), unsafe.Pointer(&c[0]), lda, 4*ldc, accumulate)
	for i, got := range c {
		m, lane := i/ldc, i%ldc
		want := before[i]
		if lane < 16 {
			if accumulate == 0 {
				want = 0
			}
			want = ref.step(want, panel, lane, floats[m], k)
		}
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("%s, %d rows, k %d, accumulate %d: [%d, %d] is %v, want %v", ref.name, rows, k, accumulate, m, lane, got, want)
		}
	}
}

// Fuzzing picks shapes, alignments and seeds.
func FuzzTiles(f *testing.F) {
	needAVX512(f)
	refs := references()
	for i := range refs {
		f.Add(uint64(i), byte(i), byte(3), byte(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, kind, rows, k byte) {
		ref := &refs[int(kind)%len(refs)]
		step := max(8, ref.per)
		checkTile(t, rand.New(rand.NewPCG(seed, 1)), ref, 1+int(rows)%40, step*(1+int(k)%12), int(seed%2))
	})
}

// BenchmarkTiles are the largest tiles on a panel in L2, and one row from memory.
func BenchmarkTiles(b *testing.B) {
	needAVX512(b)
	const k = 2048
	r := rand.New(rand.NewPCG(1, 2))
	for _, ref := range references() {
		panel := ref.panel(r, k)
		row := ref.rows(make([]float32, k), k)
		x := make([]byte, 16*(len(row)+64))
		c := make([]float32, 16*16)
		for _, rows := range []int{1, 2, 3, 4, 8, 12, 16} {
			b.Run(fmt.Sprintf("%s/rows=%d", ref.name, rows), func(b *testing.B) {
				for b.Loop() {
					ref.tiles.Run(rows, k/ref.per, unsafe.Pointer(&x[0]), unsafe.Pointer(&panel[0]), unsafe.Pointer(&c[0]), len(row)+64, 64, 0)
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(2*16*k*float64(rows)/seconds/1e9, "Gop/s")
				b.ReportMetric(float64(len(panel))/seconds/1e9, "GB/s")
			})
		}
	}
}
