package engine

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/llama-go/llama-go/engine/sched"
	"github.com/llama-go/llama-go/internal/safe"
)

// maxChunk is the most prompt positions that one step computes, so that a long
// prompt never keeps other requests waiting for more than one chunk.
const maxChunk = 256

// queueLimits bound what one model accepts. Beyond them requests are refused as
// busy at once.
var queueLimits = sched.Limits{Running: 64, Waiting: 512, WaitingTokens: 1 << 22}

// loop drives the backend: one step of one job per turn, until the engine
// closes and its jobs have ended.
func (e *Engine) loop() {
	defer close(e.loopDone)
	debug.SetPanicOnFault(true) // a truncated file under a mapping fails the request only
	for {
		j := e.wait()
		if j == nil {
			return
		}
		var over bool
		err := safe.Call(func() (err error) {
			over, err = e.turn(j)
			return err
		})
		var p *safe.PanicError
		if errors.As(err, &p) {
			e.log.Error("recovered panic in a step", "panic", p.Value, "stack", string(p.Stack))
			err = &InternalError{p}
		}
		if over || err != nil {
			e.finish(j, err)
		}
	}
}

// wait returns the job whose turn it is, nil when the engine closes.
func (e *Engine) wait() *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		if !e.closing {
			e.sched.Admit()
		}
		if t := e.sched.Next(); t != nil {
			return t.Value.(*job)
		}
		if e.closing {
			return nil
		}
		e.wake.Wait()
	}
}

// finish lets go of a job.
func (e *Engine) finish(j *job, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j.err = err
	j.times.end = time.Now()
	e.sched.Finish(&j.task)
	close(j.done)
}

// locked runs f with the engine's lock held.
func (e *Engine) locked(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// run submits a job and waits for its end. Meanwhile it calls drain, on this
// goroutine, whenever news says so, and once more before it returns. It returns nil,
// *CancelledError when ctx ended, *ClosedError, or the job's own error. A job that
// is refused has changed nothing.
func (e *Engine) run(ctx context.Context, s *Session, j *job, news <-chan struct{}, drain func()) error {
	j.ctx, j.cancel = context.WithCancelCause(ctx)
	j.done = make(chan struct{})
	j.task.Value = j
	defer j.cancel(nil)
	if err := e.submit(s, j); err != nil {
		return err
	}
	defer func() { // drain may panic; the loop must have let go all the same
		j.cancel(context.Canceled)
		e.withdraw(j)
		<-j.done
	}()
	ended := j.ctx.Done()
	for {
		select {
		case <-news:
			drain()
		case <-ended:
			e.withdraw(j)
			ended = nil
		case <-j.done:
			drain()
			return j.err
		}
	}
}

// submit puts a job into the scheduler's queue.
func (e *Engine) submit(s *Session, j *job) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closing:
		return &ClosedError{"model"}
	case s.closed:
		return &ClosedError{"session"}
	}
	if !e.fixedKV {
		if available, known := availableMemory(); known {
			e.fitKV(available)
		}
	}
	err := e.sched.Submit(&j.task)
	var busy *sched.BusyError
	var large *sched.TooLargeError
	switch {
	case errors.As(err, &busy):
		return &BusyError{RetryAfter: time.Second, QueuedTokens: busy.WaitingTokens, Waiting: busy.Waiting}
	case errors.As(err, &large):
		return e.kvError(large)
	case err != nil:
		return err
	}
	s.job = j
	e.wake.Signal()
	return nil
}

// withdraw ends a job that still waits for its admission; a running one is left
// to the loop.
func (e *Engine) withdraw(j *job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j.task.Running() || isClosed(j.done) {
		return
	}
	e.sched.Finish(&j.task)
	j.err = j.stopped()
	close(j.done)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
