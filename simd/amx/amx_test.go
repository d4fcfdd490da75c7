//go:build amd64 && linux && !purego

package amx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"github.com/llama-go/llama-go/simd/avx512"
	"github.com/llama-go/llama-go/simd/reftest"
)

// needAMX skips where the processor, the system or the user says no.
func needAMX(t testing.TB) {
	t.Helper()
	off := os.Getenv("LLAMA_GO_DISABLE")
	for _, name := range []string{"amx", "avx", "all"} {
		if strings.Contains(off, name) {
			t.Skip("no AMX: LLAMA_GO_DISABLE=", off)
		}
	}
	if err := Enable(); err != nil {
		t.Skip("no AMX: ", err)
	}
}

// tested is a kernel on panels and, for the rows that it leaves, the one of AVX-512.
type tested struct {
	reftest.Kind
	tiles func(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int
	rest  func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int)
}

func allTested() []tested {
	return []tested{
		{reftest.BF16Tiles, func(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int {
			BF16(panels, rows, n*BF16Step, x, w, c, lda, ldc, accumulate, next)
			return rows
		}, nil},
		{reftest.Int8I8, I8, avx512.Int8I8.Run},
		{reftest.Int8I4, I4, avx512.Int8I4.Run},
	}
}

func (p *tested) run(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) {
	done := p.tiles(panels, rows, n, x, w, c, lda, ldc, accumulate, next)
	if rows -= done; rows == 0 {
		return
	}
	for i := range panels {
		p.rest(rows, n, unsafe.Add(x, done*lda), unsafe.Add(w, i*next), unsafe.Add(c, done*ldc+i*64), lda, ldc, accumulate)
	}
}

// One panel: the tests of every unit's tiles.
func TestTiles(t *testing.T) {
	needAMX(t)
	var tiles []reftest.Tile
	for _, p := range allTested() {
		tiles = append(tiles, reftest.Tile{Kind: p.Kind, Run: func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
			p.run(1, rows, n, x, w, c, lda, ldc, accumulate, 1<<20)
		}})
	}
	reftest.Tiles(t, tiles)
}

// product is what a kernel shall compute and has computed.
type product struct {
	*tested
	panels, rows, k, lda, ldc, next, accumulate int
	x, w                                        []byte
	c                                           []float32
	before                                      []float32
}

const canary = -77

// newProduct draws a product whose operands end at guard pages.
func (p *tested) newProduct(t testing.TB, r *rand.Rand, panels, rows, k, accumulate int) *product {
	d := &product{tested: p, panels: panels, rows: rows, k: k, accumulate: accumulate}
	floats := make([]float32, k)
	size := len(p.Row(floats, k))
	d.lda = size + 4*r.IntN(20)
	d.x = reftest.Guarded[byte](t, (rows-1)*d.lda+size)
	for m := range rows {
		for i := range floats {
			floats[i] = float32(r.NormFloat64())
		}
		copy(d.x[m*d.lda:], p.Row(floats, k))
	}
	size = len(p.Panel(r, k))
	d.next = size + 64*r.IntN(3)
	d.w = reftest.Guarded[byte](t, (panels-1)*d.next+size)
	for i := range panels {
		copy(d.w[i*d.next:], p.Panel(r, k))
	}
	d.ldc = 16*panels + r.IntN(20)
	d.c = reftest.Guarded[float32](t, (rows-1)*d.ldc+16*panels)
	d.before = make([]float32, len(d.c))
	for i := range d.before {
		if d.before[i] = canary; i%d.ldc < 16*panels {
			d.before[i] = float32(r.NormFloat64())
		}
	}
	return d
}

// compute overwrites c.
func (d *product) compute() {
	copy(d.c, d.before)
	d.run(d.panels, d.rows, d.k/d.Per, unsafe.Pointer(&d.x[0]), unsafe.Pointer(&d.w[0]), unsafe.Pointer(&d.c[0]), d.lda, 4*d.ldc, d.accumulate, d.next)
}

// check compares the rows that pick says with the reference.
func (d *product) check(t testing.TB, pick func(m int) bool) {
	t.Helper()
	for i, got := range d.c {
		m, column := i/d.ldc, i%d.ldc
		if !pick(m) {
			continue
		}
		want := d.before[i]
		if column < 16*d.panels {
			if d.accumulate == 0 {
				want = 0
			}
			want = d.Step(want, d.w[column/16*d.next:], column%16, d.x[m*d.lda:], d.k)
		}
		if math.Float32bits(got) != math.Float32bits(want) && (got == got || want == want) {
			t.Fatalf("%s, %d panels, %d rows, k %d, accumulate %d: [%d, %d] is %v, want %v",
				d.Name, d.panels, d.rows, d.k, d.accumulate, m, column, got, want)
		}
	}
}

func every(int) bool { return true }

// Panels together, and the edges of every block.
func TestPanels(t *testing.T) {
	needAMX(t)
	r := rand.New(rand.NewPCG(5, 6))
	for _, p := range allTested() {
		for _, s := range []struct{ panels, rows, k int }{
			{2, 1, 64}, {4, 3, 128}, {7, 16, 192}, {1, 32, 64}, {2, 17, 320}, {3, 31, 64}, {5, 40, 128}, {2, 64, 576}, {3, 51, 64},
			{2, 33, 32*stepBlock + 64}, {1, 17, 32*deepBlock + 64}, {2, 18, 64*int8Block + 320}, {1, 129, 64}, {2, 256, 64}, {1, 273, 64}, {1, 545, 64},
		} {
			t.Run(fmt.Sprintf("%s/%dx%dx%d", p.Name, s.panels, s.rows, s.k), func(t *testing.T) {
				d := p.newProduct(t, r, s.panels, s.rows, s.k, r.IntN(2))
				d.compute()
				// The long ones in part.
				d.check(t, func(m int) bool { return s.rows*s.k < 1<<12 || m%8 == s.k%7 || m+1 == s.rows })
			})
		}
	}
}

// A row's bits do not depend on its place, its company or the panels beside its own.
func TestCompany(t *testing.T) {
	needAMX(t)
	r := rand.New(rand.NewPCG(7, 8))
	for _, p := range allTested() {
		const panels, rows, k = 3, 70, 704
		d := p.newProduct(t, r, panels, rows, k, 0)
		d.compute()
		for _, part := range [][2]int{{0, 1}, {5, 12}, {3, 19}, {20, 37}, {1, 33}, {30, 70}} {
			one := make([]float32, (part[1]-part[0])*16)
			for panel := range panels {
				p.run(1, part[1]-part[0], k/p.Per, unsafe.Pointer(&d.x[part[0]*d.lda]), unsafe.Pointer(&d.w[panel*d.next]), unsafe.Pointer(&one[0]), d.lda, 64, 0, d.next)
				for i, got := range one {
					if want := d.c[(part[0]+i/16)*d.ldc+16*panel+i%16]; math.Float32bits(got) != math.Float32bits(want) {
						t.Fatalf("%s: rows %v of %d, panel %d: [%d, %d] is %v, in company %v", p.Name, part, rows, panel, i/16, i%16, got, want)
					}
				}
			}
		}
	}
}

// Numbers of every family: subnormal ones, ties, infinities.
func TestBF16Special(t *testing.T) {
	needAMX(t)
	r := rand.New(rand.NewPCG(9, 10))
	p := allTested()[0]
	for family := range reftest.BF16Families {
		d := p.newProduct(t, r, 2, 20, 64, 1)
		for _, b := range [][]byte{d.x, d.w} {
			for i := 0; i+1 < len(b); i += 2 {
				binary.LittleEndian.PutUint16(b[i:], reftest.BF16Special(r, family))
			}
		}
		for i := range d.before {
			if i%d.ldc < 32 {
				d.before[i] = math.Float32frombits(uint32(reftest.BF16Special(r, family))<<16 | r.Uint32()>>16)
			}
		}
		d.compute()
		t.Run(fmt.Sprint(family), func(t *testing.T) { d.check(t, every) })
	}
}

// Threads multiply while collections and signals stop them: a sleeper wakes up
// within their tiles and sends each what asynchronous preemption sends.
func TestInterrupted(t *testing.T) {
	needAMX(t)
	const workers = 4
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers + 1))
	r := rand.New(rand.NewPCG(11, 12))
	kinds := allTested()
	var all [workers]*product
	for worker := range workers {
		all[worker] = kinds[worker%3].newProduct(t, r, 2, 32+worker, 576, 0)
		all[worker].compute()
		all[worker].check(t, func(m int) bool { return m%9 == worker })
	}
	var wg, stress sync.WaitGroup
	done := make(chan struct{})
	var products atomic.Int64
	signals, collections := 0, 0
	stress.Add(1)
	go func() {
		defer stress.Done()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Microsecond):
			}
			if i%4 == 0 {
				runtime.GC()
				collections++
			}
			threads, err := os.ReadDir("/proc/self/task")
			if err != nil {
				t.Error(err)
				return
			}
			for _, thread := range threads {
				// A thread may have ended.
				if id, err := strconv.Atoi(thread.Name()); err == nil && unix.Tgkill(os.Getpid(), id, unix.SIGURG) == nil {
					signals++
				}
			}
		}
	}()
	rounds := 10000
	if testing.Short() { // an emulated processor takes a minute
		rounds = 60
	}
	var garbage [64][]byte
	for worker, d := range all {
		want := slices.Clone(d.c)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range rounds {
				garbage[worker*16+i%16] = make([]byte, 64<<10)
				d.compute()
				for i, got := range d.c {
					if math.Float32bits(got) != math.Float32bits(want[i]) {
						t.Errorf("%s: element %d is %v, was %v", d.Name, i, got, want[i])
						return
					}
				}
				products.Add(1)
			}
		}()
	}
	wg.Wait()
	close(done)
	stress.Wait()
	t.Logf("%d products, %d signals, %d collections", products.Load(), signals, collections)
}

func TestUsable(t *testing.T) {
	good := facts{leaves: 0x20, osxsave: true, xcr0: 0x602e7, edx7: 1<<22 | 1<<24 | 1<<25, palette: [4]uint32{1024<<16 | 8192, 8<<16 | 64, 16, 0}}
	for _, c := range []struct {
		what   string
		change func(f *facts)
		want   string
	}{
		{"Sapphire Rapids", func(f *facts) {}, ""},
		{"no AMX", func(f *facts) { f.edx7 = 0 }, "no AMX"},
		{"no INT8", func(f *facts) { f.edx7 &^= 1 << 25 }, "no AMX"},
		{"an old system", func(f *facts) { f.xcr0 = 0x2e7 }, "does not save"},
		{"configuration alone", func(f *facts) { f.xcr0 = 0x202e7 }, "does not save"},
		{"no vectors", func(f *facts) { f.xcr0 = 0x60003 }, "does not save"},
		{"no OSXSAVE", func(f *facts) { f.osxsave = false }, "does not save"},
		{"no leaf", func(f *facts) { f.leaves = 0x14 }, "8 of 16 rows"},
		{"other tiles", func(f *facts) { f.palette[1] = 4<<16 | 64 }, "8 of 16 rows"},
		{"other rows", func(f *facts) { f.palette[2] = 8 }, "8 of 16 rows"},
	} {
		f := good
		c.change(&f)
		err := f.usable()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		if none := errors.Is(err, ErrNone); none != (c.want == "no AMX") {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	t.Logf("this machine: %+v, %v", processor(), Enable())
}

// unpackI4 needs no AMX.
func TestUnpackI4(t *testing.T) {
	if !avx512Here() {
		t.Skip("no AVX-512")
	}
	r := rand.New(rand.NewPCG(13, 14))
	for subs := 1; subs <= 5; subs++ {
		src := reftest.Guarded[byte](t, i4.panelBytes(subs))
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		bytes := int8Kind{subs: 2, subBytes: 1024}
		dst := reftest.Guarded[byte](t, bytes.panelBytes(subs))
		unpackI4(subs, unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]))
		for g := range (subs + 1) / 2 {
			from, to := src[i4.panelBytes(2*g):], dst[bytes.panelBytes(2*g):]
			if !slices.Equal(from[:64], to[:64]) {
				t.Fatalf("%d subs: scales of group %d", subs, g)
			}
			for s := range min(2, subs-2*g) {
				for i, b := range from[64+512*s:][:512] {
					if low, high := to[64+1024*s+i], to[64+1024*s+512+i]; low != b&15 || high != b>>4 {
						t.Fatalf("%d subs, group %d: byte %d is %#x, unpacked to %#x and %#x", subs, g, i, b, low, high)
					}
				}
			}
		}
	}
}

func avx512Here() bool {
	return cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL)
}
