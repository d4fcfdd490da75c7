package simd

import (
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llama-go/llama-go/internal/safe"
)

func TestPoolRunsEveryChunkOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, size := range []int{1, 2, 3, 8} {
		p := NewPool(size)
		if p.Size() != size {
			t.Errorf("size %d, want %d", p.Size(), size)
		}
		for n := range 40 {
			counts := make([]int32, n)
			busy := make([]atomic.Bool, size)
			err := p.Run(n, func(worker, chunk int) {
				if busy[worker].Swap(true) {
					t.Errorf("worker %d runs two chunks at once", worker)
				}
				counts[chunk]++ // a chunk has one owner: the race detector watches
				busy[worker].Store(false)
			})
			if err != nil {
				t.Fatal(err)
			}
			for c, k := range counts {
				if k != 1 {
					t.Fatalf("size %d, n %d: chunk %d ran %d times", size, n, c, k)
				}
			}
		}
		p.Close()
		p.Close() // again is nothing
	}
}

// Both goroutines of a team of two are needed to get past a chunk that waits
// for the other, awake and after a pause that lets the worker sleep.
func TestPoolWakesItsWorkers(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, pause := range []time.Duration{0, 20 * parkAfter} {
		time.Sleep(pause)
		if pause > 0 && !p.workers[0].parked.Load() {
			t.Log("the worker was not asleep yet")
		}
		var met atomic.Int32
		deadline := time.Now().Add(10 * time.Second)
		if err := p.Run(2, func(_, _ int) {
			met.Add(1)
			for met.Load() < 2 && time.Now().Before(deadline) {
				runtime.Gosched()
			}
		}); err != nil {
			t.Fatal(err)
		}
		if met.Load() != 2 || time.Now().After(deadline) {
			t.Fatalf("after a pause of %v the chunks did not run side by side", pause)
		}
	}
}

func TestPoolReturnsPanics(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, n := range []int{1, 100} {
		err := p.Run(n, func(_, chunk int) {
			if chunk == n/2 {
				panic("a chunk went wrong")
			}
		})
		var pe *safe.PanicError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), "a chunk went wrong") {
			t.Errorf("error %v, want the panic", err)
		}
		if err := p.Run(n, func(_, _ int) {}); err != nil {
			t.Errorf("the next region failed: %v", err)
		}
	}
}

// No region may hang at the moment when a worker goes to sleep.
func TestPoolAtTheEdgeOfSleep(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for i := range 300 {
		time.Sleep(parkAfter + time.Duration(i%40)*20*time.Microsecond)
		var ran atomic.Int32
		if err := p.Run(4, func(_, _ int) { ran.Add(1) }); err != nil || ran.Load() != 4 {
			t.Fatalf("%d of 4 chunks, error %v", ran.Load(), err)
		}
	}
}

// A team that does not get its processors leaves the work to the caller for a
// while, longer when it is so again, and comes back.
func TestShareRests(t *testing.T) {
	var s share
	at := time.Second
	s.judge(at, 0.9)
	if s.until > at {
		t.Error("it rests at a share of 0.9")
	}
	for _, want := range []time.Duration{firstRest, 2 * firstRest, 4 * firstRest, 8 * firstRest, 16 * firstRest, longestRest} {
		s.judge(at, 0.67)
		if got := s.until - at; got != want {
			t.Errorf("it rests %v, want %v", got, want)
		}
		at = s.until + shareWindow
	}
	s.judge(at+restMemory, 0.5)
	if s.rest != firstRest {
		t.Errorf("long after a rest it rests %v, want %v", s.rest, firstRest)
	}
}

// After a long pause the work goes on alone where it was alone before, but not
// for ever, and a short pause is none.
func TestShareRemembersRests(t *testing.T) {
	for _, c := range []struct {
		name                string
		rest, pause, judged time.Duration // judged: before now
		team                bool
	}{
		{"no rest before", 0, time.Second, time.Second, true},
		{"a long pause", firstRest, 2 * firstRest, time.Second, false},
		{"a short pause", firstRest, firstRest / 2, time.Second, true},
		{"long ago", firstRest, 2 * firstRest, 2 * restMemory, true},
	} {
		at := now() + time.Hour // now counts from the start of the process
		s := share{rest: c.rest, last: now() - c.pause, judged: now() - c.judged, until: now() - c.pause}
		if got := s.team(2); got != c.team {
			t.Errorf("%s: team is %v", c.name, got)
		}
		if !c.team && (s.until <= now() || s.until > at) {
			t.Errorf("%s: it rests until %v, now is %v", c.name, s.until, now())
		}
	}
	s := share{rest: firstRest}
	if s.judge(time.Second, 1); s.rest != 0 {
		t.Error("a good share does not forget the rest")
	}
}

func TestPoolWorksAloneInARest(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, rest := range []bool{true, false} {
		p.share.until = now() - 1
		if rest {
			p.share.until = now() + time.Hour
		}
		var others atomic.Int32
		if err := p.Run(100, func(worker, _ int) {
			others.Add(int32(worker))
			time.Sleep(20 * time.Microsecond)
		}); err != nil {
			t.Fatal(err)
		}
		if rest && others.Load() > 0 {
			t.Error("the worker worked during the rest")
		}
		if !rest && others.Load() == 0 {
			t.Error("the worker did not come back after the rest")
		}
	}
}

func BenchmarkPoolRun(b *testing.B) {
	p := NewPool(0)
	defer p.Close()
	for b.Loop() {
		if err := p.Run(8, func(_, _ int) {}); err != nil {
			b.Fatal(err)
		}
	}
}
