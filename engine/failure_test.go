package engine

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/weights"
)

// TestAFailedStepFailsItsRequestOnly breaks the third step of a request in
// several ways.
func TestAFailedStepFailsItsRequestOnly(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name string
		fail func() error
		as   func(err error) bool
	}{
		{"error", func() error { return boom }, func(err error) bool { return errors.Is(err, boom) }},
		{"panic", func() error { panic("boom") }, func(err error) bool { var p *safe.PanicError; return errors.As(err, &p) }},
		{"memory fault", func() error { var p *int; *p = 1; return nil }, func(err error) bool { var p *safe.PanicError; return errors.As(err, &p) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, f := newFake(t, 1000, 64)
			s := newSession(t, e, 0, 0)
			n := 0
			f.setBefore(func(context.Context, *Batch) error {
				if n++; n == 3 {
					return tc.fail()
				}
				return nil
			})
			req := GenerateRequest{Rows: [][]int32{ids(300, 1)}, MaxGenLen: 4}
			res, err := s.Generate(t.Context(), req, nil, nil)
			var internal *InternalError
			if !errors.As(err, &internal) || !tc.as(err) {
				t.Fatalf("error %v", err)
			}
			if len(res.Rows) != 1 || len(res.Rows[0].IDs) != 1 {
				t.Errorf("result %+v, want the one token that came before", res)
			}
			if again := checkGenerate(t, s, req); again.Rows[0].Reused != 299 {
				t.Errorf("%d positions reused", again.Rows[0].Reused)
			}
		})
	}
}

func TestWrongResultsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Result){
		"short row":  func(r *Result) { r.Logits[0] = r.Logits[0][1:] },
		"no rows":    func(r *Result) { r.Logits = nil },
		"empty rows": func(r *Result) { r.Logits[0] = nil },
	} {
		e, f := newFake(t, 100, 8)
		e.backend = changedResult{f, change}
		var internal *InternalError
		if _, err := newSession(t, e, 0, 0).Generate(t.Context(), GenerateRequest{Rows: [][]int32{{1}}, MaxGenLen: 1}, nil, nil); !errors.As(err, &internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// changedResult is a backend whose results are changed on their way out.
type changedResult struct {
	Backend
	change func(*Result)
}

func (c changedResult) Step(ctx context.Context, b *Batch) (*Result, error) {
	r, err := c.Backend.Step(ctx, b)
	if err == nil {
		c.change(r)
	}
	return r, err
}

func TestNonFiniteLogitsStop(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, echo := range []bool{false, true} {
			e, f := newFake(t, 1000, 64)
			n := 0
			e.backend = changedResult{f, func(r *Result) {
				if n++; n == 3 {
					r.Logits[len(r.Logits)-1][fakeVocab-1] = float32(bad)
				}
			}}
			s := newSession(t, e, 0, 0)
			req := GenerateRequest{Rows: [][]int32{ids(300, 1), ids(250, 2)}, MaxGenLen: 4, Echo: echo, LogProbs: echo}
			_, err := s.Generate(t.Context(), req, nil, nil)
			var bad *NonFiniteError
			if !errors.As(err, &bad) || bad.Row != 1 || bad.Kind() != "checkpoint" {
				t.Fatalf("echo %v: %v", echo, err)
			}
			if again := checkGenerate(t, s, req); !echo && (again.Rows[0].Reused == 0 || again.Rows[1].Reused != 0) {
				t.Errorf("reused %d and %d; the broken row keeps nothing", again.Rows[0].Reused, again.Rows[1].Reused)
			}
		}
	}
}

func TestEmitRunsOnTheCallersGoroutine(t *testing.T) {
	e, _ := newFake(t, 1000, 64)
	s := newSession(t, e, 0, 0)
	func() {
		defer func() {
			if v := recover(); v != "mine" {
				t.Errorf("recovered %v", v)
			}
		}()
		s.Generate(t.Context(), GenerateRequest{Rows: [][]int32{{1}}, MaxGenLen: 900}, func([]Token) { panic("mine") }, nil)
	}()
	checkGenerate(t, s, GenerateRequest{Rows: [][]int32{{1}}, MaxGenLen: 3}) // the session was let go
}

// blocked starts a request on each of two sessions and returns while the first
// one is within a step; stop lets it go on.
func blocked(t *testing.T, e *Engine, f *fakeBackend) (s [2]*Session, results chan error, stop func()) {
	t.Helper()
	started := make(chan struct{})
	var once sync.Once
	f.setBefore(func(ctx context.Context, _ *Batch) error {
		once.Do(func() { close(started) })
		<-ctx.Done()
		return ctx.Err()
	})
	results = make(chan error, 2)
	for i := range s {
		s[i] = newSession(t, e, 0, 0)
		go func() {
			_, err := s[i].Generate(t.Context(), GenerateRequest{Rows: [][]int32{ids(500, i)}, MaxGenLen: 100}, nil, nil)
			results <- err
		}()
		<-started
	}
	return s, results, func() { f.setBefore(nil) }
}

func TestCloseOfTheEngine(t *testing.T) {
	e, f := newFake(t, 1000, 10) // room for one request only
	s, results, _ := blocked(t, e, f)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if !f.closed.Load() {
		t.Error("the backend is open")
	}
	var closed *ClosedError
	for range 2 {
		if err := <-results; !errors.As(err, &closed) {
			t.Errorf("a request under way: %v", err)
		}
	}
	if _, err := s[0].Generate(t.Context(), GenerateRequest{Rows: [][]int32{{1}}, MaxGenLen: 1}, nil, nil); !errors.As(err, &closed) {
		t.Errorf("a request after Close: %v", err)
	}
	if _, _, err := s[0].Forward(t.Context(), [][]int32{{1}}, 0, nil); !errors.As(err, &closed) {
		t.Errorf("a forward pass after Close: %v", err)
	}
	if _, err := e.NewSession(0, 0); !errors.As(err, &closed) {
		t.Errorf("a session after Close: %v", err)
	}
	s[0].Close()
	if err := e.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseOfASession(t *testing.T) {
	e, f := newFake(t, 1000, 10)
	s, results, stop := blocked(t, e, f)
	stop()
	s[0].Close()
	s[0].Close()
	var closed *ClosedError
	n := 0
	for range 2 {
		if err := <-results; errors.As(err, &closed) {
			n++
		} else if err != nil {
			t.Errorf("the other session: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d requests were closed, want the one of the closed session", n)
	}
	if _, err := s[0].Generate(t.Context(), GenerateRequest{Rows: [][]int32{{1}}, MaxGenLen: 1}, nil, nil); !errors.As(err, &closed) || closed.What != "session" {
		t.Errorf("a request after Close: %v", err)
	}
	s[1].Close()
	if n := e.KVBytes(); n != 0 {
		t.Errorf("%d bytes of KV after both closed", n)
	}
}

func TestOpenFailures(t *testing.T) {
	boom := errors.New("boom")
	never := func(context.Context, weights.Config, weights.Source, BackendOptions, func(done, total int64)) (Backend, error) {
		return nil, boom
	}
	panics := func(context.Context, weights.Config, weights.Source, BackendOptions, func(done, total int64)) (Backend, error) {
		var p *int
		*p = 1 // as a truncated mapping faults
		return nil, nil
	}
	waits := func(ctx context.Context, _ weights.Config, _ weights.Source, _ BackendOptions, _ func(done, total int64)) (Backend, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	bad := fakeConfig(100)
	bad.VocabSize = 0
	for _, tc := range []struct {
		name string
		ctx  context.Context
		cfg  weights.Config
		open OpenBackend
		opt  Options
		as   func(error) bool
	}{
		{"backend", t.Context(), fakeConfig(100), never, Options{}, func(err error) bool { return errors.Is(err, boom) }},
		{"panic", t.Context(), fakeConfig(100), panics, Options{}, func(err error) bool { var i *InternalError; return errors.As(err, &i) }},
		{"cancelled", ended, fakeConfig(100), waits, Options{}, func(err error) bool { var c *CancelledError; return errors.As(err, &c) }},
		{"config", t.Context(), bad, never, Options{}, func(err error) bool { var c *weights.Error; return errors.As(err, &c) }},
		{"precision", t.Context(), fakeConfig(100), never, Options{Precision: "double"}, func(err error) bool { var r *RequestError; return errors.As(err, &r) }},
		{"threads", t.Context(), fakeConfig(100), never, Options{Threads: -1}, func(err error) bool { var r *RequestError; return errors.As(err, &r) }},
	} {
		src := &closeCounter{Source: weights.NewMemory(nil, weights.Halves)}
		if _, err := OpenSource(tc.ctx, tc.cfg, src, tc.open, tc.opt); !tc.as(err) || src.closed != 1 {
			t.Errorf("%s: %v; the source was closed %d times", tc.name, err, src.closed)
		}
	}
}

type closeCounter struct {
	weights.Source
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return c.Source.Close() }
