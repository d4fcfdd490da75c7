package simd

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
)

// How a worker waits for the next region: it looks at the job pointer, yields
// its processor from time to time (so that no other goroutine starves), and goes
// to sleep once nothing came for parkAfter.
const (
	yieldEvery = 50 * time.Microsecond
	parkAfter  = time.Millisecond
	looks      = 16 // between two looks at the clock
)

// A busy goroutine of a team steps aside for others once in turnEvery.
const turnEvery = time.Millisecond

// How Run waits for chunks that others hold: it looks for napAfter, which is
// longer than most chunks take, and then naps between looks. A worker that the
// system has stopped may need this very processor.
const (
	napAfter = 60 * time.Microsecond
	nap      = 50 * time.Microsecond
)

// Pool is a team of goroutines that share the chunks of one region after
// another. The caller of Run works too, so a pool of one has no goroutine.
// Each has a run of neighbouring chunks, so that it reads memory as one stream
// (half as fast again as two that take turns), and claims them from a counter;
// who has none left claims from the others. A thread that the system has stopped
// holds up a region only while it holds a chunk.
//
// Run is for one goroutine at a time. Close ends the workers.
type Pool struct {
	size    int
	job     atomic.Pointer[job]
	closed  atomic.Bool
	workers []*worker
	done    sync.WaitGroup
	share   share
	turns   []turn // one for each goroutine
}

// job is one region.
type job struct {
	f    func(worker, chunk int)
	runs []run // one for each goroutine
	left atomic.Int64
	err  atomic.Pointer[error]
}

// run is the chunks [next, end); next is the one that is claimed next. It fills
// a cache line.
type run struct {
	next atomic.Int64
	end  int64
	_    [48]byte
}

// newJob cuts n chunks into runs.
func newJob(n, size int, f func(worker, chunk int)) *job {
	j := &job{f: f, runs: make([]run, size)}
	j.left.Store(int64(n))
	for i := range j.runs {
		j.runs[i].next.Store(int64(n * i / size))
		j.runs[i].end = int64(n * (i + 1) / size)
	}
	return j
}

type worker struct {
	parked atomic.Bool
	wake   chan struct{}
}

// NewPool starts a team of the given size; 0 or less means one for each
// processor that Go may use, which respects a container's quota.
func NewPool(size int) *Pool {
	if size <= 0 {
		size = runtime.GOMAXPROCS(0)
	}
	p := &Pool{size: size, turns: make([]turn, size)}
	for id := 1; id < size; id++ {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		p.done.Add(1)
		safe.Go("simd worker", func() {
			defer p.done.Done()
			debug.SetPanicOnFault(true)
			var last *job
			for {
				j := p.await(w, last)
				if j == nil {
					return
				}
				j.drain(id, &p.turns[id])
				last = j
			}
		})
	}
	return p
}

// Size is the number of goroutines that work on a region, the caller's
// included. Worker numbers are below it.
func (p *Pool) Size() int { return p.size }

// Run calls f(worker, chunk) for every chunk in [0, n), each once, from up to
// Size goroutines, and returns when all have ended. A panic in f, or a fault in
// reading mapped memory, is returned as a *safe.PanicError; chunks that are not
// yet claimed are then dropped.
func (p *Pool) Run(n int, f func(worker, chunk int)) error {
	if n <= 0 {
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if n == 1 {
		return safe.Call(func() error { f(0, 0); return nil })
	}
	j := newJob(n, p.size, f)
	team := p.size > 1 && p.share.team(p.size)
	if team {
		p.job.Store(j)
		for _, w := range p.workers {
			if w.parked.CompareAndSwap(true, false) {
				w.wake <- struct{}{}
			}
		}
	}
	j.drain(0, &p.turns[0])
	if napped := j.wait(); p.size > 1 {
		p.share.ended(napped)
	}
	if e := j.err.Load(); e != nil {
		return *e
	}
	return nil
}

// Close ends the workers and waits for them. No Run may be under way.
func (p *Pool) Close() {
	if p.closed.Swap(true) {
		return
	}
	for _, w := range p.workers {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	p.done.Wait()
}

// await returns the job after last, or nil when the pool closes.
func (p *Pool) await(w *worker, last *job) *job {
	var since, yielded time.Duration
	for i := 1; ; i++ {
		if p.closed.Load() {
			return nil
		}
		if j := p.job.Load(); j != last {
			return j
		}
		if pause(); i%looks != 0 {
			continue
		}
		switch t := now(); {
		case since == 0:
			since, yielded = t, t
		case t-since > parkAfter:
			p.park(w, last)
			since = 0
		case t-yielded > yieldEvery:
			runtime.Gosched()
			yielded = t
		}
	}
}

// park sleeps until Run or Close wakes the worker. It looks once more after it
// has said that it is parked, for a job that came in between.
func (p *Pool) park(w *worker, last *job) {
	w.parked.Store(true)
	if (p.job.Load() != last || p.closed.Load()) && w.parked.CompareAndSwap(true, false) {
		return
	}
	<-w.wake
}

// wait returns when every chunk has ended, and how long it slept until then.
func (j *job) wait() (napped time.Duration) {
	var since time.Duration
	for i := 1; j.left.Load() > 0; i++ {
		if pause(); i%looks != 0 {
			continue
		}
		t := now()
		if since == 0 {
			since = t
		}
		if t-since > napAfter {
			time.Sleep(nap)
			napped += now() - t
		}
	}
	return napped
}

// drain works on chunks until none is left to claim, its own first.
func (j *job) drain(worker int, t *turn) {
	for {
		err := safe.Call(func() error { j.claim(worker, t); return nil })
		if err == nil {
			return
		}
		j.err.CompareAndSwap(nil, &err)
		j.left.Add(-1) // the chunk that panicked
	}
}

// claim is drain until a chunk panics.
func (j *job) claim(worker int, t *turn) {
	for i := range j.runs {
		r := &j.runs[(worker+i)%len(j.runs)]
		for {
			c := r.next.Add(1) - 1
			if c >= r.end {
				break
			}
			if j.err.Load() == nil {
				j.f(worker, int(c))
			}
			j.left.Add(-1)
			t.ended()
		}
	}
}

// turn is how long a goroutine has worked without a pause. The runtime would
// interrupt it after 10 ms at the earliest. It fills a cache line.
type turn struct {
	chunks int
	since  time.Duration
	_      [48]byte
}

// ended tells of a chunk's end.
func (t *turn) ended() {
	if t.chunks++; t.chunks%looks != 0 {
		return
	}
	if at := now(); at-t.since > turnEvery {
		runtime.Gosched()
		t.since = at
	}
}
