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
// its processor every few looks (so that no other goroutine starves), and goes
// to sleep once nothing came for parkAfter.
const (
	looksPerYield = 64
	yieldsPerTime = 16
	parkAfter     = time.Millisecond
)

// How Run waits for chunks that others hold: it looks for napAfter, which is
// longer than a chunk takes, and then naps between looks. A worker that the
// system has stopped may need this very processor.
const (
	napAfter = 200 * time.Microsecond
	nap      = 50 * time.Microsecond
)

// Pool is a team of goroutines that share the chunks of one region after
// another. The caller of Run works too, so a pool of one has no goroutine.
// Chunks are claimed from a counter: a thread that the system has stopped holds
// up a region only while it holds a chunk.
//
// Run is for one goroutine at a time. Close ends the workers.
type Pool struct {
	size    int
	job     atomic.Pointer[job]
	closed  atomic.Bool
	workers []*worker
	done    sync.WaitGroup
}

// job is one region.
type job struct {
	f    func(worker, chunk int)
	n    int64
	_    [64]byte
	next atomic.Int64 // the chunk that is claimed next
	_    [64]byte
	left atomic.Int64 // chunks that have not ended
	err  atomic.Pointer[error]
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
	p := &Pool{size: size}
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
				j.drain(id)
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
	j := &job{f: f, n: int64(n)}
	j.left.Store(int64(n))
	if n > 1 && p.size > 1 {
		p.job.Store(j)
		for _, w := range p.workers {
			if w.parked.CompareAndSwap(true, false) {
				w.wake <- struct{}{}
			}
		}
	}
	j.drain(0)
	j.wait()
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
	var since time.Time
	for i := 1; ; i++ {
		if p.closed.Load() {
			return nil
		}
		if j := p.job.Load(); j != last {
			return j
		}
		if i%looksPerYield != 0 {
			continue
		}
		runtime.Gosched()
		if i%(looksPerYield*yieldsPerTime) != 0 {
			continue
		}
		if since.IsZero() {
			since = time.Now()
		} else if time.Since(since) > parkAfter {
			p.park(w, last)
			since, i = time.Time{}, 0
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

// wait returns when every chunk has ended.
func (j *job) wait() {
	var since time.Time
	for i := 1; j.left.Load() > 0; i++ {
		if i%looksPerYield != 0 {
			continue
		}
		runtime.Gosched()
		if since.IsZero() {
			since = time.Now()
		} else if time.Since(since) > napAfter {
			time.Sleep(nap)
		}
	}
}

// drain works on chunks until none is left to claim.
func (j *job) drain(worker int) {
	for {
		c := j.next.Add(1) - 1
		if c >= j.n {
			return
		}
		if j.err.Load() == nil {
			if err := safe.Call(func() error { j.f(worker, int(c)); return nil }); err != nil {
				j.err.CompareAndSwap(nil, &err)
			}
		}
		j.left.Add(-1)
	}
}
