package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llama-go/llama-go/engine/sched"
)

// job is one request on its way through the loop: rows of ids that go through
// the model, and what to do with the logits that come out.
type job struct {
	task sched.Task
	rows []*jobRow
	// begin fixes where each row starts, once its session's KV cannot change
	// any more. It runs with the engine's lock held.
	begin func()
	// visit gets the logits, (vocab,), of position pos of row i, in order. It
	// may set the row's pending ids again. The logits die when it returns.
	visit func(i, pos int, logits []float32) error
	// progress, which may be nil, is told after each step how many prompt
	// positions are done and how many there are.
	progress func(done, total int)

	ctx    context.Context // ends with the request's, the session or the engine
	cancel context.CancelCauseFunc
	begun  bool
	done   chan struct{} // closed when the loop has let go of the job
	err    error         // why it ended early, set before done is closed

	times jobTimes
}

// jobRow is one row of a job.
type jobRow struct {
	seq     *sched.Seq
	pos     int     // position of pending[0]
	pending []int32 // ids to compute
	prompt  int     // positions before this one belong to the prompt
	// wanted returns the first position in [from, to) whose logits visit
	// should get, or to.
	wanted func(from, to int) int
}

// jobTimes is when a job got where.
type jobTimes struct {
	start, prompt, end time.Time // first step; all prompts done; end
	total, done        int       // prompt positions to compute; computed
}

// prompting reports whether the row's prompt is not computed yet.
func (r *jobRow) prompting() bool { return len(r.pending) > 0 && r.pos < r.prompt }

// prompting reports whether any row's prompt is not computed yet.
func (j *job) prompting() bool {
	for _, r := range j.rows {
		if r.prompting() {
			return true
		}
	}
	return false
}

// next picks the rows of the next step and how many ids of each: up to chunk
// prompt positions in all, first rows first; once all prompts are done, one id
// of every row that still runs. A batch without rows says that the job is done.
func (j *job) next(chunk int) (b Batch, rows []int) {
	prompting := j.prompting()
	for i, r := range j.rows {
		n := len(r.pending)
		if prompting {
			if !r.prompting() {
				continue
			}
			n = min(n, chunk)
			chunk -= n
		}
		if n == 0 {
			continue
		}
		b.Rows = append(b.Rows, Row{
			Tokens: r.pending[:n],
			Start:  r.pos,
			LastN:  r.pos + n - r.wanted(r.pos, r.pos+n),
		})
		rows = append(rows, i)
	}
	return b, rows
}

// turn runs one step of a job and reports whether it is over.
func (e *Engine) turn(j *job) (over bool, err error) {
	if j.ctx.Err() != nil {
		return true, j.stopped()
	}
	if !j.begun {
		e.locked(j.begin)
		j.begun = true
		j.times.start = time.Now()
		for _, r := range j.rows {
			j.times.total += max(0, min(len(r.pending), r.prompt-r.pos))
		}
	}
	b, rows := j.next(e.chunk)
	if len(rows) == 0 {
		return true, nil
	}
	e.locked(func() {
		for k, i := range rows {
			r := j.rows[i]
			e.sched.Reserve(r.seq, r.pos+len(b.Rows[k].Tokens))
			b.Rows[k].Blocks = r.seq.Blocks()
		}
	})
	committed := false
	defer func() { // also when the backend panics
		if !committed {
			e.locked(func() {
				for _, i := range rows {
					j.rows[i].seq.Spoil(j.rows[i].pos)
				}
			})
		}
	}()
	res, err := e.backend.Step(j.ctx, &b)
	if err == nil {
		err = checkResult(&b, res, e.cfg.VocabSize)
	}
	if err != nil {
		if j.ctx.Err() != nil {
			return true, j.stopped()
		}
		var own kinded
		if errors.As(err, &own) { // the backend says what it is, such as weights that are gone
			return true, err
		}
		return true, &InternalError{err}
	}
	e.locked(func() {
		for k, i := range rows {
			j.rows[i].advance(b.Rows[k].Tokens)
		}
	})
	committed = true
	return false, j.deliver(&b, rows, res, e.cfg.VocabSize)
}

// stopped is the error of a job whose context ended.
func (j *job) stopped() error {
	cause := context.Cause(j.ctx)
	var closed *ClosedError
	if errors.As(cause, &closed) {
		return closed
	}
	return &CancelledError{cause}
}

// advance notes that the KV of the row's next ids is there.
func (r *jobRow) advance(ids []int32) {
	if r.pos == r.seq.Len() {
		r.seq.Append(ids)
	} else {
		r.seq.Fill(r.pos + len(ids)) // behind positions that were overwritten
	}
	r.pos += len(ids)
	r.pending = r.pending[len(ids):]
}

// deliver hands a step's logits to visit and tells the progress.
func (j *job) deliver(b *Batch, rows []int, res *Result, vocab int) error {
	for k, i := range rows {
		r := &b.Rows[k]
		end := r.Start + len(r.Tokens)
		for n := range r.LastN {
			if err := j.visit(i, end-r.LastN+n, res.Logits[k][n*vocab:(n+1)*vocab]); err != nil {
				return err
			}
		}
	}
	if j.times.prompt.IsZero() {
		for k, i := range rows {
			r := &b.Rows[k]
			j.times.done += max(0, min(r.Start+len(r.Tokens), j.rows[i].prompt)-r.Start)
		}
		if j.progress != nil {
			j.progress(j.times.done, j.times.total)
		}
		if !j.prompting() {
			j.times.prompt = time.Now()
		}
	}
	return nil
}

// checkResult refuses a backend's result of the wrong shape.
func checkResult(b *Batch, res *Result, vocab int) error {
	if res == nil || len(res.Logits) != len(b.Rows) {
		return errors.New("engine: backend returned a result of another batch")
	}
	for k, r := range b.Rows {
		if got, want := len(res.Logits[k]), r.LastN*vocab; got != want {
			return fmt.Errorf("engine: backend returned %d logits for row %d, want %d × %d", got, k, r.LastN, vocab)
		}
	}
	return nil
}
