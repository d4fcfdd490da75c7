package kernel

import (
	"strings"
	"sync"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// progressEvery is the least time between two progress messages of a request:
// about 30 a second, since servers drop what comes much faster.
const progressEvery = 33 * time.Millisecond

// limiter sends the newest of the values offered, at most one each
// progressEvery.
type limiter[T any] struct {
	send func(T)

	mu      sync.Mutex
	last    time.Time
	pending *T
	timer   *time.Timer
	stopped bool
}

func newLimiter[T any](send func(T)) *limiter[T] { return &limiter[T]{send: send} }

func (l *limiter[T]) offer(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	if wait := progressEvery - time.Since(l.last); wait > 0 {
		l.pending = &v
		if l.timer == nil {
			l.timer = time.AfterFunc(wait, l.flush)
		}
		return
	}
	l.pending, l.last = nil, time.Now()
	l.send(v)
}

func (l *limiter[T]) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	if l.pending != nil && !l.stopped {
		v := *l.pending
		l.pending, l.last = nil, time.Now()
		l.send(v)
	}
}

// stop sends what is pending; nothing is sent afterwards.
func (l *limiter[T]) stop() {
	l.flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// streamer turns the engine's tokens into coalesced progress and the rows'
// whole text.
type streamer struct {
	p    *rpc.GenerateParams
	emit func(rpc.GenerateProgress) // nil: no progress is wanted
	rows []streamRow

	mu      sync.Mutex
	pending rpc.GenerateProgress
	last    time.Time
	timer   *time.Timer
	over    bool
}

type streamRow struct {
	decode *tokenizer.Stream // nil: no text is wanted
	text   strings.Builder
	ended  bool
}

func newStreamer(p *rpc.GenerateParams, tok *tokenizer.Tokenizer, emit func(rpc.GenerateProgress)) *streamer {
	s := &streamer{p: p, rows: make([]streamRow, len(p.Rows))}
	if p.Stream {
		s.emit = emit
	}
	if p.Text && tok != nil {
		for i := range s.rows {
			s.rows[i].decode = tok.NewStream()
		}
	}
	return s
}

// tokens takes what one step made.
func (s *streamer) tokens(batch []engine.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range batch {
		row := &s.rows[t.Row]
		if t.Finish != "" {
			s.end(t.Row, t.Finish)
			continue
		}
		text := ""
		if row.decode != nil {
			text = row.decode.Add(t.ID)
			row.text.WriteString(text)
		}
		if s.emit != nil {
			s.add(t, text)
		}
	}
	s.pending.PrefillDone, s.pending.PrefillTotal = 0, 0
	s.schedule()
}

// add appends one token to the pending chunks; mu is held.
func (s *streamer) add(t engine.Token, text string) {
	chunks := s.pending.Chunks
	i := len(chunks) - 1
	for ; i >= 0 && chunks[i].Row != t.Row; i-- {
	}
	if i < 0 || chunks[i].Echo != t.Echo {
		chunks = append(chunks, rpc.TokenChunk{Row: t.Row, Echo: t.Echo, IDs: []int32{}})
		i = len(chunks) - 1
	}
	c := &chunks[i]
	c.IDs = append(c.IDs, t.ID)
	if s.p.LogProbs {
		c.LogProbs = append(c.LogProbs, t.LogProb)
	}
	if s.p.TopLogProbs > 0 && !t.Echo {
		c.Top = append(c.Top, t.Top)
	}
	c.Text += text
	s.pending.Chunks = chunks
}

// prefill tells how far the prompt is.
func (s *streamer) prefill(done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending.PrefillDone, s.pending.PrefillTotal = done, total
	s.schedule()
}

// schedule sends what is pending now or when it is time; mu is held.
func (s *streamer) schedule() {
	if s.emit == nil || s.over {
		return
	}
	if wait := progressEvery - time.Since(s.last); wait > 0 {
		if s.timer == nil {
			s.timer = time.AfterFunc(wait, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.timer = nil
				s.flush()
			})
		}
		return
	}
	s.flush()
}

// flush sends what is pending; mu is held.
func (s *streamer) flush() {
	if s.emit == nil || s.over || (len(s.pending.Chunks) == 0 && s.pending.PrefillTotal == 0) {
		return
	}
	out := s.pending
	out.Chunks = notNil(out.Chunks)
	s.pending, s.last = rpc.GenerateProgress{}, time.Now()
	s.emit(out)
}

// stop ends progress without a result.
func (s *streamer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// finish sends what is left, each row's end included, and makes the result.
func (s *streamer) finish(res engine.GenerateResult) rpc.GenerateResult {
	s.mu.Lock()
	out := rpc.GenerateResult{Rows: make([]rpc.GenerateRow, len(res.Rows)), Timings: res.Timings}
	for i, r := range res.Rows {
		s.end(i, r.Finish)
		out.Rows[i] = rpc.GenerateRow{IDs: notNil(r.IDs), LogProbs: r.LogProbs, Text: s.rows[i].text.String(), Finish: r.Finish, Reused: r.Reused}
		if s.p.LogProbs {
			out.Rows[i].LogProbs = notNil(r.LogProbs)
		}
	}
	s.pending.PrefillDone, s.pending.PrefillTotal = 0, 0
	s.flush()
	s.mu.Unlock()
	s.stop()
	return out
}

// end completes the row's text and marks its last chunk, once; mu is held.
func (s *streamer) end(i int, why engine.FinishReason) {
	row := &s.rows[i]
	if row.ended {
		return
	}
	row.ended = true
	rest := ""
	if row.decode != nil {
		rest = row.decode.Flush()
		row.text.WriteString(rest)
	}
	if s.emit == nil {
		return
	}
	chunks := s.pending.Chunks
	c := len(chunks) - 1
	for ; c >= 0 && chunks[c].Row != i; c-- {
	}
	if c < 0 {
		s.pending.Chunks = append(chunks, rpc.TokenChunk{Row: i, IDs: []int32{}})
		c = len(s.pending.Chunks) - 1
	}
	s.pending.Chunks[c].Text += rest
	s.pending.Chunks[c].Finish = why
}
