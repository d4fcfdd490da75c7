package engine

import "context"

// Session is a timeline of rows.
type Session struct{}

// NewSession opens a session.
func (e *Engine) NewSession(maxBatch, maxSeqLen int) (*Session, error) { return nil, errSkeleton }

// Generate makes new tokens.
func (s *Session) Generate(ctx context.Context, req GenerateRequest, emit func([]Token), prefill func(done, total int)) (GenerateResult, error) {
	return GenerateResult{}, errSkeleton
}

// Forward computes logits, (len(rows), len(keep) or all, vocab).
func (s *Session) Forward(ctx context.Context, rows [][]int32, startPos int, keep []int) (logits []float32, shape [3]int, err error) {
	return nil, shape, errSkeleton
}

// Limits are what NewSession was given, defaults filled in.
func (s *Session) Limits() (maxBatch, maxSeqLen int) { return 0, 0 }

// Close frees the KV.
func (s *Session) Close() {}
