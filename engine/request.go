package engine

import (
	"math"

	"github.com/llama-go/llama-go/weights"
)

// resolveLimits fills in the defaults of a session's limits and checks them.
func resolveLimits(cfg weights.Config, maxBatch, maxSeqLen int) (int, int, error) {
	limit := cfg.MaxPositionEmbeddings
	if maxSeqLen == 0 {
		maxSeqLen = min(limit, DefaultMaxSeqLen)
	}
	if maxBatch == 0 {
		maxBatch = DefaultMaxBatch
	}
	if maxSeqLen < 1 || maxSeqLen > limit {
		return 0, 0, requestErrorf("", "max_seq_len must be between 1 and %d, got %d.", limit, maxSeqLen)
	}
	if maxBatch < 1 || maxBatch > MaxBatch {
		return 0, 0, requestErrorf("", "max_batch_size must be between 1 and %d, got %d.", MaxBatch, maxBatch)
	}
	return maxBatch, maxSeqLen, nil
}

// checkRows checks what all requests share: at least one row, none empty, ids in
// the vocabulary, no more rows than the session has.
func (s *Session) checkRows(rows [][]int32) error {
	if len(rows) == 0 {
		return requestErrorf("pass at least one row of token ids", "the batch is empty")
	}
	if len(rows) > s.maxBatch {
		return requestErrorf("open the session with a larger max_batch_size, or pass fewer rows",
			"batch of %d rows exceeds max_batch_size %d", len(rows), s.maxBatch)
	}
	vocab := s.e.cfg.VocabSize
	for i, row := range rows {
		if len(row) == 0 {
			return requestErrorf("begin a prompt with the BOS id where the text is empty", "row %d is empty", i)
		}
		for c, id := range row {
			if id < 0 || int(id) >= vocab {
				return &TokenIndexError{ID: id, Row: i, Col: c, VocabSize: vocab}
			}
		}
	}
	return nil
}

// check refuses a request that is out of range anywhere.
func (s *Session) check(req *GenerateRequest) error {
	if err := weights.Changed(s.e.src); err != nil {
		return err
	}
	if err := s.checkRows(req.Rows); err != nil {
		return err
	}
	for i, row := range req.Rows {
		if len(row) > s.maxSeqLen {
			return requestErrorf("shorten the prompt, or open the session with a larger max_seq_len",
				"prompt %d has %d tokens, max_seq_len is %d", i, len(row), s.maxSeqLen)
		}
	}
	switch t, p := req.Temperature, req.TopP; {
	case req.MaxGenLen < 0:
		return requestErrorf("", "max_gen_len must not be negative, got %d", req.MaxGenLen)
	case !(t >= 0) || math.IsInf(t, 0): // a NaN fails every comparison
		return requestErrorf("0 takes the most probable token", "temperature must be a finite number >= 0, got %v", t)
	case !(p >= 0):
		return requestErrorf("0 keeps one token, 1 keeps all", "top_p must be >= 0, got %v", p)
	case len(req.Seeds) != 0 && len(req.Seeds) != len(req.Rows):
		return requestErrorf("", "expected one seed for each of %d rows, got %d", len(req.Rows), len(req.Seeds))
	case req.TopLogProbs < 0 || req.TopLogProbs > MaxTopLogProbs:
		return requestErrorf("", "top_logprobs must be between 0 and %d, got %d", MaxTopLogProbs, req.TopLogProbs)
	}
	return nil
}

// checkForward refuses a forward pass that is out of range anywhere.
func (s *Session) checkForward(rows [][]int32, startPos int, keep []int) error {
	if err := weights.Changed(s.e.src); err != nil {
		return err
	}
	if len(rows) > 0 {
		for _, row := range rows {
			if len(row) != len(rows[0]) {
				return requestErrorf("pad the rows, or pass them one at a time",
					"expected sequence of length %d at dim 1 (got %d)", len(rows[0]), len(row))
			}
		}
	}
	if err := s.checkRows(rows); err != nil {
		return err
	}
	n := len(rows[0])
	if startPos < 0 || n > s.maxSeqLen || startPos > s.maxSeqLen-n {
		return requestErrorf("open the session with a larger max_seq_len",
			"positions %d to %d exceed max_seq_len %d", startPos, startPos+n-1, s.maxSeqLen)
	}
	for _, k := range keep {
		if k < 0 || k >= n {
			return requestErrorf("", "position %d to keep is outside the %d positions of this call", k, n)
		}
	}
	return nil
}
