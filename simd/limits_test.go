package simd

import (
	"slices"
	"testing"
	"time"
)

// Every plan's kernels name a limit of this processor, and each limit is
// measured as a rate that some processor could have.
func TestLimits(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	var names []string
	for _, l := range Limits() {
		names = append(names, l.Name)
		if r := l.Measure(pool, time.Millisecond); r < 1e6 || r > 1e15 {
			t.Errorf("%s: %g operations a second", l.Name, r)
		}
	}
	for _, fast := range []bool{false, true} {
		p := NewPlan(fast)
		for typ := range numTypes {
			if l := p.Limit(typ); l != "" && !slices.Contains(names, l) {
				t.Errorf("fast=%v: %v is multiplied by %q, limits are %q", fast, typ, l, names)
			}
		}
	}
}

// The readers touch memory of any length within its bounds, and a rate counts
// all of it.
func TestReadRate(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	if r := ReadRate(pool, make([]byte, 1<<20), time.Millisecond); r < 1e6 || r > 1e14 {
		t.Errorf("%g bytes a second", r)
	}
	if r := ReadRate(pool, make([]byte, 100), time.Millisecond); r != 0 {
		t.Errorf("too little memory: %g bytes a second, want 0", r)
	}
	readWords(make([]byte, 100))
}

func BenchmarkReadRate(b *testing.B) {
	mem, err := NewMemory(256 << 20)
	if err != nil {
		b.Fatal(err)
	}
	defer mem.Free()
	for i := range mem.Bytes {
		mem.Bytes[i] = byte(i)
	}
	for _, n := range []int{1, 2} {
		pool := NewPool(n)
		b.Logf("%d threads: %.1f GB/s", n, ReadRate(pool, mem.Bytes, time.Second)/1e9)
		for _, l := range Limits() {
			b.Logf("%d threads: %s %.1f %s", n, l.Name, l.Measure(pool, 200*time.Millisecond)/1e9, l.Unit)
		}
		pool.Close()
	}
}
