package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine/sched"
)

func newSession(t *testing.T, e *Engine, maxBatch, maxSeqLen int) *Session {
	t.Helper()
	s, err := e.NewSession(maxBatch, maxSeqLen)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(n, salt int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(splitmix64(uint64(i)+uint64(salt)<<32) % fakeVocab)
	}
	return out
}

// equalRow compares ids, log-probabilities and finish.
func equalRow(a, b RowResult) bool {
	return slices.Equal(a.IDs, b.IDs) && slices.Equal(a.LogProbs, b.LogProbs) && a.Finish == b.Finish
}

// checkGenerate runs a request and compares all rows, and what was emitted,
// with fakeGenerate.
func checkGenerate(t *testing.T, s *Session, req GenerateRequest) GenerateResult {
	t.Helper()
	emitted := make([]RowResult, len(req.Rows))
	res, err := s.Generate(t.Context(), req, func(tokens []Token) {
		for _, tok := range tokens {
			r := &emitted[tok.Row]
			if r.Finish != "" {
				t.Errorf("row %d: %+v after its end", tok.Row, tok)
			}
			if tok.Finish != "" {
				r.Finish = tok.Finish
				continue
			}
			r.IDs = append(r.IDs, tok.ID)
			if req.LogProbs {
				r.LogProbs = append(r.LogProbs, tok.LogProb)
			}
			if tok.Echo != (req.Echo && len(r.IDs) <= len(req.Rows[tok.Row])) {
				t.Errorf("row %d token %d: Echo is %v", tok.Row, len(r.IDs)-1, tok.Echo)
			}
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range res.Rows {
		if want := fakeGenerate(req, i, s.maxSeqLen); !equalRow(got, want) {
			t.Fatalf("row %d of %d:\n got %+v\nwant %+v", i, len(req.Rows), got, want)
		}
		if !slices.Equal(emitted[i].IDs, got.IDs) || !slices.Equal(emitted[i].LogProbs, got.LogProbs) {
			t.Fatalf("row %d: emitted %v, returned %v", i, emitted[i], got)
		}
		// Only a row that computes nothing ends with the call itself.
		if emitted[i].Finish != got.Finish && len(got.IDs) > 0 && (emitted[i].Finish != "" || len(got.IDs) > len(req.Rows[i])) {
			t.Fatalf("row %d: end emitted as %q, returned %q", i, emitted[i].Finish, got.Finish)
		}
		if got.IDs == nil || (req.LogProbs != (got.LogProbs != nil)) {
			t.Fatalf("row %d: ids %v, logprobs %v", i, got.IDs, got.LogProbs)
		}
	}
	return res
}

func TestGenerate(t *testing.T) {
	long, short := ids(300, 1), ids(3, 2)
	greedy := fakeGenerate(GenerateRequest{Rows: [][]int32{short}, MaxGenLen: 10}, 0, 400).IDs
	for _, tc := range []struct {
		name string
		req  GenerateRequest
	}{
		{"greedy", GenerateRequest{Rows: [][]int32{short}, MaxGenLen: 10}},
		{"rows of different lengths", GenerateRequest{Rows: [][]int32{long, short, ids(64, 3), ids(65, 4)}, MaxGenLen: 70}},
		{"seeded", GenerateRequest{Rows: [][]int32{short, short}, MaxGenLen: 40, Temperature: 0.8, TopP: 0.9, Seeds: []uint64{1, 2}, LogProbs: true}},
		{"no seeds", GenerateRequest{Rows: [][]int32{short}, MaxGenLen: 5, Temperature: 1, TopP: 1}},
		{"echo", GenerateRequest{Rows: [][]int32{short, long}, MaxGenLen: 4, Echo: true}},
		{"echo and logprobs", GenerateRequest{Rows: [][]int32{short, long, ids(257, 5)}, MaxGenLen: 4, Echo: true, LogProbs: true}},
		{"stop", GenerateRequest{Rows: [][]int32{short}, MaxGenLen: 10, StopIDs: greedy[4:5], LogProbs: true}},
		{"stop at once", GenerateRequest{Rows: [][]int32{short, long}, MaxGenLen: 10, StopIDs: greedy[:1]}},
		{"stop ids in an echoed prompt end nothing", GenerateRequest{Rows: [][]int32{append(greedy[4:5:5], short...)}, MaxGenLen: 6, StopIDs: greedy[4:5], Echo: true, LogProbs: true}},
		{"context ends it", GenerateRequest{Rows: [][]int32{ids(398, 6), short}, MaxGenLen: 10}},
		{"full context", GenerateRequest{Rows: [][]int32{ids(400, 7), short}, MaxGenLen: 2}},
		{"full context, echo and logprobs", GenerateRequest{Rows: [][]int32{ids(400, 7)}, MaxGenLen: 2, Echo: true, LogProbs: true}},
		{"nothing to generate", GenerateRequest{Rows: [][]int32{long, short}, MaxGenLen: 0}},
		{"score the prompt", GenerateRequest{Rows: [][]int32{long, short, ids(1, 8)}, MaxGenLen: 0, Echo: true, LogProbs: true}},
		{"echo alone", GenerateRequest{Rows: [][]int32{long}, MaxGenLen: 0, Echo: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, _ := newFake(t, 400, 64)
			s := newSession(t, e, 0, 0)
			checkGenerate(t, s, tc.req)
			checkGenerate(t, s, tc.req) // again, on what the session holds now
			s.Close()
			if n := e.KVBytes(); n != 0 {
				t.Errorf("%d bytes of KV after Close", n)
			}
		})
	}
}

func TestTopLogProbsAreOfGeneratedTokens(t *testing.T) {
	e, _ := newFake(t, 100, 8)
	s := newSession(t, e, 0, 0)
	prompt := ids(5, 1)
	var toks []Token
	_, err := s.Generate(t.Context(), GenerateRequest{Rows: [][]int32{prompt}, MaxGenLen: 3, Echo: true, LogProbs: true, TopLogProbs: 4},
		func(ts []Token) { toks = append(toks, ts...) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, tok := range toks {
		switch {
		case tok.Finish != "":
		case i < 5 && tok.Top != nil:
			t.Errorf("echoed token %d has alternatives", i)
		case i >= 5 && (len(tok.Top) != 4 || tok.Top[0].ID != tok.ID || tok.Top[0].LogProb != tok.LogProb):
			t.Errorf("token %d: %+v", i, tok)
		}
	}
}

func TestPromptsGoInChunks(t *testing.T) {
	e, f := newFake(t, 4096, 128)
	s := newSession(t, e, 0, 0)
	var told []int
	res, err := s.Generate(t.Context(), GenerateRequest{Rows: [][]int32{ids(600, 1), ids(100, 2)}, MaxGenLen: 2}, nil,
		func(done, total int) { told = append(told, done, total) })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0+256/0 ", "256+256/0 ", "512+88/1 0+100/1 ", "600+1/1 100+1/1 "}
	if got := f.steps(); !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	if n := len(told); n < 2 || told[n-2] != 700 || told[n-1] != 700 {
		t.Errorf("prefill told %v, want 700 of 700 last", told)
	}
	tm := res.Timings
	if tm.PromptTokens != 700 || tm.ReusedTokens != 0 || tm.GeneratedTokens != 4 || tm.DecodeSteps != 2 || tm.PrefillSeconds <= 0 || tm.DecodeSeconds <= 0 {
		t.Errorf("timings %+v", tm)
	}
}

func TestReuseOfTheCommonPrefix(t *testing.T) {
	e, f := newFake(t, 4096, 128)
	s := newSession(t, e, 0, 0)
	prompt := ids(300, 1)
	gen := func(p []int32, n, reused int) []int32 {
		t.Helper()
		before := len(f.steps())
		res := checkGenerate(t, s, GenerateRequest{Rows: [][]int32{p}, MaxGenLen: n})
		if got := res.Rows[0].Reused; got != reused || res.Timings.ReusedTokens != reused || res.Timings.PromptTokens != len(p)-reused {
			t.Errorf("reused %d (timings %+v), want %d of %d", got, res.Timings, reused, len(p))
		}
		if first, want := f.steps()[before], fmt.Sprintf("%d+", reused); first[:len(want)] != want {
			t.Errorf("first step %q, want it to begin at %d", first, reused)
		}
		return res.Rows[0].IDs
	}
	out := gen(prompt, 5, 0)
	gen(prompt, 5, 299) // all of it but the last
	turn := slices.Concat(prompt, out, ids(20, 9))
	gen(turn, 3, 304) // the last generated id had been returned, not computed
	changed := slices.Clone(turn)
	changed[100] = (changed[100] + 1) % fakeVocab
	gen(changed, 3, 100)
	gen(turn, 3, 100)
	gen(prompt[:50], 1, 49)
	if got := e.KVBytes(); got != e.backend.KVBlockBytes() {
		t.Errorf("50 positions hold %d bytes", got)
	}
}

// TestInterrupt cancels at every step in turn, in the middle of it, and then
// asks for the same again.
func TestInterrupt(t *testing.T) {
	req := GenerateRequest{Rows: [][]int32{ids(300, 1), ids(40, 2)}, MaxGenLen: 5, LogProbs: true, Temperature: 1, TopP: 0.9, Seeds: []uint64{3, 4}}
	for _, echo := range []bool{false, true} {
		req.Echo = echo
		for cut := range 8 {
			e, f := newFake(t, 1000, 20)
			s := newSession(t, e, 0, 0)
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			f.setBefore(func(ctx context.Context, _ *Batch) error {
				if n++; n == cut+1 {
					cancel()
					return ctx.Err()
				}
				return nil
			})
			res, err := s.Generate(ctx, req, nil, nil)
			cancel()
			if err != nil {
				t.Fatalf("cut at step %d: %v", cut, err)
			}
			for i, got := range res.Rows {
				want := fakeGenerate(req, i, 1000)
				if cut < 6 && got.Finish != FinishInterrupted {
					t.Errorf("cut at step %d: row %d finished with %q", cut, i, got.Finish)
				}
				if !slices.Equal(got.IDs, want.IDs[:len(got.IDs)]) || !slices.Equal(got.LogProbs, want.LogProbs[:len(got.LogProbs)]) {
					t.Errorf("cut at step %d: row %d: %+v is no prefix of %+v", cut, i, got, want)
				}
			}
			f.setBefore(nil)
			again := checkGenerate(t, s, req)
			if !echo && cut == 1 && again.Rows[0].Reused != 256 {
				t.Errorf("after one whole chunk %d positions were reused", again.Rows[0].Reused)
			}
			if !echo && cut == 3 && again.Rows[0].Reused != 299 {
				t.Errorf("after the prompt %d positions were reused", again.Rows[0].Reused)
			}
		}
	}
}

// TestManyClients runs random requests on several sessions at once, some of
// them cancelled, with too few blocks for all.
func TestManyClients(t *testing.T) {
	e, _ := newFake(t, 512, 40)
	var wg sync.WaitGroup
	for c := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 1))
			s, err := e.NewSession(3, 512)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for round := range 25 {
				req := GenerateRequest{MaxGenLen: rng.IntN(30), Temperature: float64(rng.IntN(2)), TopP: 0.9,
					Echo: rng.IntN(3) == 0, LogProbs: rng.IntN(2) == 0, StopIDs: []int32{7}}
				for range 1 + rng.IntN(3) {
					req.Rows = append(req.Rows, ids(1+rng.IntN(300), rng.IntN(3)))
					req.Seeds = append(req.Seeds, rng.Uint64())
				}
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(3) == 0 {
					time.AfterFunc(time.Duration(rng.IntN(3000))*time.Microsecond, cancel)
				}
				res, err := s.Generate(ctx, req, func([]Token) {}, nil)
				cancel()
				if err != nil {
					t.Errorf("client %d round %d: %v", c, round, err)
					return
				}
				for i, got := range res.Rows {
					want := fakeGenerate(req, i, 512)
					if got.Finish == FinishInterrupted {
						want.IDs, want.Finish = want.IDs[:len(got.IDs)], got.Finish
						want.LogProbs = want.LogProbs[:len(got.LogProbs)]
					}
					if !equalRow(got, want) {
						t.Errorf("client %d round %d row %d:\n got %+v\nwant %+v", c, round, i, got, want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := e.KVBytes(); n != 0 {
		t.Errorf("%d bytes of KV after all sessions closed", n)
	}
}

func TestRequestsTakeTurns(t *testing.T) {
	e, f := newFake(t, 4096, 256)
	a, b := newSession(t, e, 1, 0), newSession(t, e, 1, 0)
	started := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	f.setBefore(func(context.Context, *Batch) error {
		once.Do(func() { close(started); <-release })
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		a.Generate(t.Context(), GenerateRequest{Rows: [][]int32{ids(1500, 1)}, MaxGenLen: 1}, nil, nil)
	})
	<-started
	wg.Go(func() { b.Generate(t.Context(), GenerateRequest{Rows: [][]int32{ids(10, 2)}, MaxGenLen: 3}, nil, nil) })
	for waiting := 0; waiting == 0; {
		e.locked(func() { waiting, _ = e.sched.Queued() })
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	want := []string{"0+256/0 ", "0+10/1 ", "256+256/0 ", "10+1/1 ", "512+256/0 ", "11+1/1 ", "768+256/0 ", "1024+256/0 ", "1280+220/1 "}
	if got := f.steps(); !slices.Equal(got, want) {
		t.Errorf("steps %q\nwant  %q", got, want)
	}
}

func TestKVLimit(t *testing.T) {
	e, f := newFake(t, 4096, 10) // 640 positions
	a, b := newSession(t, e, 8, 0), newSession(t, e, 8, 0)
	var mem *MemoryError
	_, err := a.Generate(t.Context(), GenerateRequest{Rows: [][]int32{ids(10, 1)}, MaxGenLen: 1000}, nil, nil)
	if !errors.As(err, &mem) || mem.Needed != 16*f.KVBlockBytes() || mem.Available != 10*f.KVBlockBytes() || len(mem.Remedies) != 3 {
		t.Fatalf("16 of 10 blocks: %v", err)
	}
	// Idle rows give way; they are computed again when they come back.
	checkGenerate(t, a, GenerateRequest{Rows: [][]int32{ids(400, 1)}, MaxGenLen: 2})
	checkGenerate(t, b, GenerateRequest{Rows: [][]int32{ids(400, 2)}, MaxGenLen: 2})
	res := checkGenerate(t, a, GenerateRequest{Rows: [][]int32{ids(400, 1)}, MaxGenLen: 2})
	if res.Rows[0].Reused != 0 {
		t.Errorf("%d positions reused of a row that had to give way", res.Rows[0].Reused)
	}
	// Running ones do not: the second request waits, and can be cancelled.
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.setBefore(func(context.Context, *Batch) error { once.Do(func() { close(started); <-release }); return nil })
	var wg sync.WaitGroup
	wg.Go(func() { checkGenerate(t, a, GenerateRequest{Rows: [][]int32{ids(390, 3)}, MaxGenLen: 20}) })
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	got, err := b.Generate(ctx, GenerateRequest{Rows: [][]int32{ids(390, 4)}, MaxGenLen: 20, Echo: true}, nil, nil)
	if err != nil || got.Rows[0].Finish != FinishInterrupted || len(got.Rows[0].IDs) != 390 {
		t.Errorf("cancelled while waiting: %v, %+v", err, got)
	}
	wg.Go(func() { checkGenerate(t, b, GenerateRequest{Rows: [][]int32{ids(390, 4)}, MaxGenLen: 20}) })
	close(release)
	wg.Wait()
}

// TestKVLimitFollowsTheMemory: what other models take is not there for this one.
func TestKVLimitFollowsTheMemory(t *testing.T) {
	e, f := newFake(t, 4096, 20)
	s := newSession(t, e, 8, 0)
	checkGenerate(t, s, GenerateRequest{Rows: [][]int32{ids(300, 1)}, MaxGenLen: 2}) // 5 blocks
	block := f.KVBlockBytes()
	for _, tc := range []struct {
		available int64
		want      int
	}{{0, 5}, {block * 5, 9}, {block * 1000, 20}, {1 << 60, 20}} {
		e.locked(func() { e.fitKV(tc.available) })
		if got := e.sched.Limit(); got != tc.want {
			t.Errorf("%d bytes available: %d blocks, want %d", tc.available, got, tc.want)
		}
	}
	e.locked(func() { e.fitKV(0) })
	var mem *MemoryError
	if _, err := s.Generate(t.Context(), GenerateRequest{Rows: [][]int32{ids(321, 1)}, MaxGenLen: 1}, nil, nil); !errors.As(err, &mem) || mem.Available != 5*block {
		t.Errorf("6 of 5 blocks: %v", err)
	}
	checkGenerate(t, newSession(t, e, 1, 0), GenerateRequest{Rows: [][]int32{ids(320, 2)}, MaxGenLen: 1})
}

func TestBusy(t *testing.T) {
	e, f := newFake(t, 100, 10)
	e.locked(func() { e.sched = sched.New(10, BlockSize, sched.Limits{Running: 1, Waiting: 1, WaitingTokens: 1000}) })
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.setBefore(func(context.Context, *Batch) error { once.Do(func() { close(started); <-release }); return nil })
	req := GenerateRequest{Rows: [][]int32{{1}}, MaxGenLen: 50}
	var wg sync.WaitGroup
	wg.Go(func() { checkGenerate(t, newSession(t, e, 1, 0), req) })
	<-started
	wg.Go(func() { checkGenerate(t, newSession(t, e, 1, 0), req) })
	for waiting := 0; waiting == 0; {
		e.locked(func() { waiting, _ = e.sched.Queued() })
		time.Sleep(time.Millisecond)
	}
	var busy *BusyError
	if _, err := newSession(t, e, 1, 0).Generate(t.Context(), req, nil, nil); !errors.As(err, &busy) || busy.Waiting != 1 || busy.QueuedTokens != 50 {
		t.Errorf("third request: %v", err)
	}
	close(release)
	wg.Wait()
}
