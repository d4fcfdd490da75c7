package engine

import (
	"context"

	"github.com/llama-go/llama-go/engine/sched"
)

// Limits of a session.
const (
	DefaultMaxBatch  = 32
	DefaultMaxSeqLen = 4096 // or the model's limit, if that is lower
	MaxBatch         = 1024
)

// Session is a timeline of rows, each with the ids whose KV it holds. One
// request at a time uses it; others wait for their turn. It is safe for
// concurrent use.
type Session struct {
	e         *Engine
	maxBatch  int
	maxSeqLen int
	seqs      []*sched.Seq  // rows used so far
	turn      chan struct{} // holds a value while a request uses the session
	gone      chan struct{} // closed by Close

	// Both under the engine's lock.
	closed bool
	job    *job // the latest
}

// NewSession opens a session of at most maxBatch rows of maxSeqLen positions.
// Both are limits and reserve nothing; 0 is the default.
func (e *Engine) NewSession(maxBatch, maxSeqLen int) (*Session, error) {
	maxBatch, maxSeqLen, err := resolveLimits(e.cfg, maxBatch, maxSeqLen)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, &ClosedError{"model"}
	}
	return &Session{
		e: e, maxBatch: maxBatch, maxSeqLen: maxSeqLen,
		turn: make(chan struct{}, 1), gone: make(chan struct{}),
	}, nil
}

// Limits are what NewSession was given, defaults filled in.
func (s *Session) Limits() (maxBatch, maxSeqLen int) { return s.maxBatch, s.maxSeqLen }

// acquire waits until no other request uses the session. The caller calls
// release when it has ended.
func (s *Session) acquire(ctx context.Context) (release func(), err error) {
	select {
	case <-s.gone:
		return nil, &ClosedError{"session"}
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-s.gone:
		return nil, &ClosedError{"session"}
	case <-ctx.Done():
		return nil, &CancelledError{ctx.Err()}
	}
}

// row returns the session's row i, which is made at first use.
func (s *Session) row(i int) *sched.Seq {
	for len(s.seqs) <= i {
		s.seqs = append(s.seqs, &sched.Seq{})
	}
	return s.seqs[i]
}

// Close ends the session's request, if one runs, and frees its KV.
func (s *Session) Close() {
	s.e.mu.Lock()
	if s.closed {
		s.e.mu.Unlock()
		return
	}
	s.closed = true
	close(s.gone)
	if s.job != nil {
		s.job.cancel(&ClosedError{"session"})
	}
	s.e.mu.Unlock()

	s.turn <- struct{}{} // kept: nobody uses the session any more
	s.e.locked(func() {
		for _, q := range s.seqs {
			s.e.sched.Truncate(q, 0)
		}
		s.seqs = nil
	})
}
