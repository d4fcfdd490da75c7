package engine

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/llama-go/llama-go/engine/sched"
)

// Generate continues the rows of req, see GenerateRequest. Row i reuses the KV of
// the longest common prefix of its prompt with what the session's row i holds;
// at least the prompt's last token is computed again.
//
// emit, which may be nil, gets every token of the result once, in order for each
// row; prefill, which may be nil, is told how many prompt positions are done and
// how many there are to compute. Both run on the caller's goroutine.
//
// When ctx ends, the result is what there is, unfinished rows have
// FinishInterrupted and the error is nil. An error before the first step leaves the
// session unchanged; with one after it (*NonFiniteError, *InternalError,
// *ClosedError) the result holds what came before.
func (s *Session) Generate(ctx context.Context, req GenerateRequest, emit func([]Token), prefill func(done, total int)) (GenerateResult, error) {
	if err := s.check(&req); err != nil {
		return GenerateResult{}, err
	}
	g := newGeneration(s.e, &req)
	release, err := s.acquire(ctx)
	if err == nil {
		defer release()
		err = g.run(ctx, s, emit, prefill)
	}
	var cancelled *CancelledError
	if errors.As(err, &cancelled) {
		err = nil
		g.drain(emit, prefill) // echoed tokens of a request that never got its turn
	}
	if g.job.times.start.IsZero() && err != nil {
		return GenerateResult{}, err
	}
	return g.result(), err
}

// generation is one Generate under way.
type generation struct {
	e       *Engine
	req     *GenerateRequest
	rows    []*genRow
	job     job
	sampler sampler

	mu      sync.Mutex
	fresh   []Token // not emitted yet
	done    int     // prompt positions
	total   int
	changed bool          // done or total, not told yet
	news    chan struct{} // holds a value when there is something to tell
}

// genRow is one row of a generation.
type genRow struct {
	prompt   []int32
	limit    int // tokens to generate at most
	made     int
	steps    int // positions computed after the prompt
	seed     uint64
	ids      []int32 // the result
	logProbs []float32
	finish   FinishReason
	reused   int
}

// newGeneration resolves a checked request. Tokens that need no forward pass,
// echoed ones, are there already.
func newGeneration(e *Engine, req *GenerateRequest) *generation {
	g := &generation{e: e, req: req, news: make(chan struct{}, 1)}
	for i, prompt := range req.Rows {
		r := &genRow{prompt: slices.Clone(prompt), ids: []int32{}, finish: FinishInterrupted}
		if req.LogProbs {
			r.logProbs = []float32{}
		}
		if len(req.Seeds) > 0 {
			r.seed = req.Seeds[i]
		}
		g.rows = append(g.rows, r)
		if req.Echo {
			known := prompt
			if req.LogProbs {
				known = prompt[:1] // the others' log-probabilities have to be computed
			}
			for _, id := range known {
				g.add(i, Token{ID: id, Echo: true})
			}
		}
	}
	return g
}

// scores reports whether log-probabilities of the prompt are asked for.
func (g *generation) scores() bool { return g.req.Echo && g.req.LogProbs }

// run computes the rows, and returns when nothing is left to emit.
func (g *generation) run(ctx context.Context, s *Session, emit func([]Token), prefill func(done, total int)) error {
	for i, r := range g.rows {
		r.limit = min(g.req.MaxGenLen, s.maxSeqLen-len(r.prompt))
		pending := r.prompt
		if r.limit == 0 {
			r.finish = FinishLength
			if !g.scores() {
				pending = nil
			} else { // nobody asks what follows the last token
				r.finish = FinishInterrupted
				pending = r.prompt[:len(r.prompt)-1]
			}
		}
		if len(pending) == 0 {
			r.finish = FinishLength
		}
		q := s.row(i)
		g.job.rows = append(g.job.rows, &jobRow{seq: q, pending: pending, prompt: len(pending), wanted: g.wanted(r)})
		// The last generated token is returned, not computed.
		g.job.task.Rows = append(g.job.task.Rows, sched.Need{Seq: q, Positions: len(pending) + max(0, r.limit-1)})
	}
	g.job.begin = g.begin
	g.job.visit = g.visit
	if prefill != nil {
		g.job.progress = g.progress
	}
	drain := func() { g.drain(emit, prefill) }
	if !g.job.prompting() {
		drain()
		return nil
	}
	return s.e.run(ctx, s, &g.job, g.news, drain)
}

// wanted says of which positions a row needs logits: of the prompt's last one and
// the generated ones, or of all.
func (g *generation) wanted(r *genRow) func(from, to int) int {
	first := len(r.prompt) - 1
	if g.scores() {
		first = 0
	}
	return func(from, to int) int { return min(max(from, first), to) }
}

// begin fixes how much of each row's KV is reused. Nothing is where all the
// prompt's log-probabilities are wanted.
func (g *generation) begin() {
	for i, r := range g.job.rows {
		if len(r.pending) == 0 {
			continue // this row computes nothing and keeps what it holds
		}
		if !g.scores() {
			r.pos = min(r.seq.Match(r.pending), len(r.pending)-1)
		}
		r.seq.Rewind(r.pos)
		g.e.sched.Truncate(r.seq, r.pos)
		r.pending = r.pending[r.pos:]
		g.rows[i].reused = r.pos
	}
}

// visit takes the logits of one position: of the prompt, to score the id that
// follows, or the last one, to draw the next.
func (g *generation) visit(i, pos int, logits []float32) error {
	r := g.rows[i]
	best, maximum, finite := scan(logits)
	if !finite {
		seq := g.job.rows[i].seq
		g.e.locked(func() { seq.Rewind(0); g.e.sched.Truncate(seq, 0) })
		return &NonFiniteError{Row: i, Position: pos}
	}
	var norm float64
	if g.req.LogProbs || g.req.TopLogProbs > 0 {
		norm = logNormalizer(logits, maximum)
	}
	if pos+1 < len(r.prompt) {
		id := r.prompt[pos+1]
		g.add(i, Token{ID: id, LogProb: logProb(logits, id, norm), Echo: true})
		if pos+2 == len(r.prompt) && r.limit == 0 {
			g.end(i, FinishLength)
		}
		return nil
	}
	if pos >= len(r.prompt) {
		r.steps++
	}
	id := g.sampler.sample(logits, best, maximum, g.req.Temperature, g.req.TopP, r.seed, pos+1)
	if slices.Contains(g.req.StopIDs, id) {
		g.end(i, FinishStop)
		return nil
	}
	t := Token{ID: id}
	if g.req.LogProbs {
		t.LogProb = logProb(logits, id, norm)
	}
	if g.req.TopLogProbs > 0 {
		t.Top = topLogProbs(logits, g.req.TopLogProbs, norm)
	}
	g.add(i, t)
	if r.made++; r.made == r.limit {
		g.end(i, FinishLength)
		return nil
	}
	g.job.rows[i].pending = []int32{id}
	return nil
}

// add puts a token into row i's result and among those to emit.
func (g *generation) add(i int, t Token) {
	r := g.rows[i]
	r.ids = append(r.ids, t.ID)
	if g.req.LogProbs {
		r.logProbs = append(r.logProbs, t.LogProb)
	}
	t.Row = i
	g.publish(t)
}

// end notes why row i ended, and says so.
func (g *generation) end(i int, why FinishReason) {
	g.rows[i].finish = why
	g.publish(Token{Row: i, ID: -1, Finish: why})
}

func (g *generation) publish(t Token) {
	g.mu.Lock()
	g.fresh = append(g.fresh, t)
	g.mu.Unlock()
	g.tell()
}

// progress notes how far the prompts are.
func (g *generation) progress(done, total int) {
	g.mu.Lock()
	g.done, g.total, g.changed = done, total, true
	g.mu.Unlock()
	g.tell()
}

func (g *generation) tell() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// drain hands over what came since the last time.
func (g *generation) drain(emit func([]Token), prefill func(done, total int)) {
	g.mu.Lock()
	fresh, done, total, changed := g.fresh, g.done, g.total, g.changed
	g.fresh, g.changed = nil, false
	g.mu.Unlock()
	if changed && prefill != nil {
		prefill(done, total)
	}
	if len(fresh) > 0 && emit != nil {
		emit(fresh)
	}
}

// result puts together what there is. The loop has let go of the job.
func (g *generation) result() GenerateResult {
	var res GenerateResult
	for _, r := range g.rows {
		res.Rows = append(res.Rows, RowResult{IDs: r.ids, LogProbs: r.logProbs, Finish: r.finish, Reused: r.reused})
		res.Timings.GeneratedTokens += r.made
		res.Timings.DecodeSteps += r.steps
		res.Timings.ReusedTokens += r.reused
	}
	t := &g.job.times
	if t.start.IsZero() {
		return res
	}
	res.Timings.PromptTokens = t.done
	prompt := t.prompt
	if prompt.IsZero() { // it did not get that far
		prompt = t.end
	}
	res.Timings.PrefillSeconds = prompt.Sub(t.start).Seconds()
	res.Timings.DecodeSeconds = t.end.Sub(prompt).Seconds()
	return res
}
