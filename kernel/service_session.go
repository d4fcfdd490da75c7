package kernel

import (
	"context"
	"math"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// session is a timeline of rows on a model. The engine's session is made at
// the first use, and again after load_state_dict has changed the weights.
type session struct {
	id                  string
	model               *model
	maxBatch, maxSeqLen int
	ctx                 context.Context // ends when the session is closed
	cancel              context.CancelFunc
	turn                chan struct{} // capacity 1: who uses it

	// Guarded by turn.
	inst *instance // one reference
	eng  *engine.Session
}

// openSession is session.open.
func (c *client) openSession(p rpc.SessionParams) (rpc.SessionResult, error) {
	m, err := c.model(p.Model)
	if err != nil {
		return rpc.SessionResult{}, err
	}
	if err := checkSizes(m.cfg, p.MaxBatchSize, p.MaxSeqLen); err != nil {
		return rpc.SessionResult{}, err
	}
	if p.MaxBatchSize == 0 {
		p.MaxBatchSize = engine.DefaultMaxBatch
	}
	if p.MaxSeqLen == 0 {
		p.MaxSeqLen = min(m.cfg.MaxPositionEmbeddings, engine.DefaultMaxSeqLen)
	}
	s := &session{model: m, maxBatch: p.MaxBatchSize, maxSeqLen: p.MaxSeqLen, turn: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	s.id, err = put(c, func() map[string]*session { return c.sessions }, "s", "sessions", maxSessions, s)
	if err != nil {
		s.cancel()
		return rpc.SessionResult{}, err
	}
	return rpc.SessionResult{Session: s.id, MaxBatchSize: s.maxBatch, MaxSeqLen: s.maxSeqLen}, nil
}

// closeSession is session.close: a request on it is interrupted.
func (c *client) closeSession(p rpc.SessionRef) error {
	s, err := c.session(p.Session)
	if err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.sessions, p.Session)
	c.mu.Unlock()
	s.close()
	return nil
}

// close interrupts what runs and frees the KV within one step.
func (s *session) close() {
	s.cancel()
	s.turn <- struct{}{} // kept: nobody uses it after this
	s.drop()
}

// drop lets go of the engine's session; turn is held.
func (s *session) drop() {
	if s.eng != nil {
		s.eng.Close()
		s.inst.release()
		s.eng, s.inst = nil, nil
	}
}

// use waits for the session's turn and returns the engine's session on the
// model's current weights. done ends the turn. The returned context also ends
// when the session is closed.
func (s *session) use(ctx context.Context, svc *service) (_ context.Context, _ *engine.Session, done func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(s.ctx, cancel)
	end := func() { detach(); cancel() }
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		end()
		return nil, nil, nil, ctx.Err()
	}
	fail := func(err error) (context.Context, *engine.Session, func(), error) {
		<-s.turn
		end()
		return nil, nil, nil, err
	}
	in, err := s.model.instance()
	if err != nil {
		return fail(err)
	}
	finish := svc.work(in)
	if s.inst != in {
		s.drop()
		eng, err := in.engine(ctx)
		if err == nil {
			s.eng, err = eng.NewSession(s.maxBatch, s.maxSeqLen)
		}
		if err != nil {
			finish()
			in.release()
			return fail(err)
		}
		s.inst = in.acquire()
	}
	return ctx, s.eng, func() {
		finish()
		in.release()
		<-s.turn
		end()
	}, nil
}

// checkRows refuses rows that no session of this size can take.
func (s *session) checkRows(rows [][]int32) error {
	if len(rows) == 0 {
		return requestError("", "the batch is empty, expected 1 to %d rows", s.maxBatch)
	}
	if len(rows) > s.maxBatch {
		return requestError("build with a larger max_batch_size", "the batch has %d rows, max_batch_size is %d", len(rows), s.maxBatch)
	}
	vocab := s.model.cfg.VocabSize
	for i, row := range rows {
		if len(row) == 0 {
			return requestError("", "row %d is empty, expected at least one token", i)
		}
		if len(row) > s.maxSeqLen {
			return requestError("shorten the prompt or build with a larger max_seq_len", "row %d has %d tokens, max_seq_len is %d", i, len(row), s.maxSeqLen)
		}
		for j, id := range row {
			if id < 0 || int(id) >= vocab {
				return &engine.TokenIndexError{ID: id, Row: i, Col: j, VocabSize: vocab}
			}
		}
	}
	return nil
}

// forward is forward.
func (c *client) forward(ctx context.Context, p rpc.ForwardParams) (rpc.ForwardResult, error) {
	s, err := c.session(p.Session)
	if err != nil {
		return rpc.ForwardResult{}, err
	}
	size, err := s.checkForward(p)
	if err != nil {
		return rpc.ForwardResult{}, err
	}
	if err := c.svc.memory(size); err != nil {
		return rpc.ForwardResult{}, err
	}
	ctx, eng, done, err := s.use(ctx, c.svc)
	if err != nil {
		return rpc.ForwardResult{}, err
	}
	defer done()
	values, shape, err := eng.Forward(ctx, p.Tokens, p.StartPos, p.Keep)
	if err != nil {
		return rpc.ForwardResult{}, err
	}
	r := &logits{values: values, shape: shape}
	c.svc.resultBytes.Add(r.bytes())
	id, err := put(c, func() map[string]*logits { return c.results }, "r", "results", maxResults, r)
	if err != nil {
		c.svc.resultBytes.Add(-r.bytes())
		return rpc.ForwardResult{}, err
	}
	c.svc.promptTokens.Add(int64(len(p.Tokens) * len(p.Tokens[0])))
	return rpc.ForwardResult{Result: id, Shape: shape[:]}, nil
}

// checkForward checks forward's params and returns the bytes of its result.
func (s *session) checkForward(p rpc.ForwardParams) (int64, error) {
	if err := s.checkRows(p.Tokens); err != nil {
		return 0, err
	}
	n := len(p.Tokens[0])
	for _, row := range p.Tokens {
		if len(row) != n {
			return 0, requestError("pad the rows to one length", "expected sequence of length %d at dim 1 (got %d)", n, len(row))
		}
	}
	if p.StartPos < 0 || p.StartPos > s.maxSeqLen-n {
		return 0, requestError("", "start_pos %d with %d tokens reaches position %d, max_seq_len is %d", p.StartPos, n, p.StartPos+n, s.maxSeqLen)
	}
	kept := n
	if p.Keep != nil {
		kept = len(p.Keep)
		if kept == 0 || kept > maxKeep {
			return 0, requestError("", "keep has %d positions, expected 1 to %d", kept, maxKeep)
		}
		for _, k := range p.Keep {
			if k < 0 || k >= n {
				return 0, requestError("", "keep names position %d, expected 0 to %d", k, n-1)
			}
		}
	}
	size, ok := checked.Product(int64(len(p.Tokens)), int64(kept), int64(s.model.cfg.VocabSize), 4).Int64()
	if !ok {
		return 0, requestError("", "the logits do not fit 63 bits")
	}
	return size, nil
}

// Ranges of generate's params.
const (
	maxStopIDs = 1024
	maxKeep    = 1 << 20 // positions that a forward keeps
)

// checkGenerate checks generate's params.
func (s *session) checkGenerate(p *rpc.GenerateParams) error {
	if err := s.checkRows(p.Rows); err != nil {
		return err
	}
	switch {
	case p.MaxGenLen < 0:
		return requestError("", "max_gen_len is %d, expected a positive number, or 0 to fill the context", p.MaxGenLen)
	case math.IsNaN(p.Temperature) || math.IsInf(p.Temperature, 0) || p.Temperature < 0:
		return requestError("0 is greedy", "temperature is %v, expected a finite number from 0", p.Temperature)
	case math.IsNaN(p.TopP) || math.IsInf(p.TopP, 0) || p.TopP < 0:
		return requestError("", "top_p is %v, expected a number from 0 to 1", p.TopP)
	case len(p.Seeds) != 0 && len(p.Seeds) != len(p.Rows):
		return requestError("pass one seed a row", "%d seeds for %d rows", len(p.Seeds), len(p.Rows))
	case p.TopLogProbs < 0 || p.TopLogProbs > min(engine.MaxTopLogProbs, s.model.cfg.VocabSize):
		return requestError("", "top_logprobs is %d, expected 0 to %d", p.TopLogProbs, min(engine.MaxTopLogProbs, s.model.cfg.VocabSize))
	case len(p.StopIDs) > maxStopIDs:
		return requestError("", "stop_token_ids has %d ids, at most %d are allowed", len(p.StopIDs), maxStopIDs)
	case p.Text && s.model.text.tok == nil:
		return kindError(rpc.KindTokenizer, "open the model with tokenizer_path", "the model has no tokenizer: generated ids have no text")
	}
	for i, id := range p.StopIDs {
		if id < 0 || int(id) >= s.model.cfg.VocabSize {
			return &engine.TokenIndexError{ID: id, Col: i, VocabSize: s.model.cfg.VocabSize}
		}
	}
	return nil
}

// generate is generate. Progress carries no id: the caller adds it. When ctx
// ends the result holds what there is.
func (c *client) generate(ctx context.Context, p rpc.GenerateParams, emit func(rpc.GenerateProgress)) (rpc.GenerateResult, error) {
	s, err := c.session(p.Session)
	if err != nil {
		return rpc.GenerateResult{}, err
	}
	if err := s.checkGenerate(&p); err != nil {
		return rpc.GenerateResult{}, err
	}
	ctx, eng, done, err := s.use(ctx, c.svc)
	if err != nil {
		if isCancel(err) {
			return interrupted(&p), nil
		}
		return rpc.GenerateResult{}, err
	}
	defer done()
	req := engine.GenerateRequest{
		Rows: p.Rows, MaxGenLen: p.MaxGenLen, Temperature: p.Temperature, TopP: p.TopP, Seeds: p.Seeds,
		LogProbs: p.LogProbs, Echo: p.Echo, TopLogProbs: p.TopLogProbs, StopIDs: p.StopIDs,
	}
	if req.MaxGenLen == 0 {
		req.MaxGenLen = s.maxSeqLen
	}
	if req.Seeds == nil {
		req.Seeds = make([]uint64, len(p.Rows))
		for i := range req.Seeds {
			req.Seeds[i] = uint64(i)
		}
	}
	if !p.IgnoreEOS {
		req.StopIDs = append(append([]int32{}, s.model.text.stopIDs...), p.StopIDs...)
	}
	out := newStreamer(&p, s.model.text.tok, emit)
	res, err := eng.Generate(ctx, req, out.tokens, out.prefill)
	c.svc.promptTokens.Add(int64(res.Timings.PromptTokens))
	c.svc.generatedTokens.Add(int64(res.Timings.GeneratedTokens))
	if err != nil {
		out.stop()
		return rpc.GenerateResult{}, err
	}
	return out.finish(res), nil
}

func isCancel(err error) bool { return mapError(err).Data.Kind == rpc.KindCancelled }

// interrupted is the result of a generate that was cancelled before it ran.
func interrupted(p *rpc.GenerateParams) rpc.GenerateResult {
	r := rpc.GenerateResult{Rows: make([]rpc.GenerateRow, len(p.Rows))}
	for i := range r.Rows {
		r.Rows[i] = rpc.GenerateRow{IDs: []int32{}, Finish: engine.FinishInterrupted}
	}
	return r
}
