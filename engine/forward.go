package engine

import (
	"context"
	"slices"

	"github.com/llama-go/llama-go/engine/sched"
	"github.com/llama-go/llama-go/internal/checked"
)

// Forward computes rows of equal length n at positions startPos to startPos+n-1
// of the session's rows 0, 1, …, whose KV there is overwritten; attention sees all
// positions from 0 on. keep are the positions in [0, n) whose logits are
// returned, in this order; nil: all. logits are float32 of the shape
// (len(rows), kept, vocab), row-major, finite or not.
//
// It fails with *RequestError or *TokenIndexError before anything changes, with
// *MemoryError when the result or the KV has no room, with *BusyError, with
// *CancelledError when ctx ends: then the steps that were done count.
func (s *Session) Forward(ctx context.Context, rows [][]int32, startPos int, keep []int) (logits []float32, shape [3]int, err error) {
	if err := s.checkForward(rows, startPos, keep); err != nil {
		return nil, shape, err
	}
	release, err := s.acquire(ctx)
	if err != nil {
		return nil, shape, err
	}
	defer release()

	n := len(rows[0])
	if keep == nil {
		keep = make([]int, n)
		for i := range keep {
			keep[i] = i
		}
	}
	shape = [3]int{len(rows), len(keep), s.e.cfg.VocabSize}
	if logits, err = makeLogits(shape); err != nil {
		return nil, shape, err
	}
	j, err := s.forwardJob(rows, startPos, keep, logits)
	if err != nil {
		return nil, shape, err
	}
	if err := s.e.run(ctx, s, j, nil, func() {}); err != nil {
		return nil, shape, err
	}
	return logits, shape, nil
}

// makeLogits allocates a result when there is memory for it.
func makeLogits(shape [3]int) ([]float32, error) {
	count := checked.Product(int64(shape[0]), int64(shape[1]), int64(shape[2]))
	bytes, ok := count.Mul(checked.Of(4)).Int64()
	n, fits := count.Int()
	if !ok || !fits {
		return nil, requestErrorf("keep fewer positions", "logits of shape %v are too large", shape)
	}
	if available, known := availableMemory(); known && bytes > available {
		return nil, &MemoryError{
			What:      "the logits",
			Needed:    bytes,
			Available: available,
			Remedies: []string{
				"keep the logits of fewer positions (logits_to_keep)",
				"pass fewer or shorter rows",
				"free results and close other models (llama-go ps, llama-go stop)",
			},
		}
	}
	return make([]float32, n), nil
}

// forwardJob makes the job of a forward pass that copies the kept logits to dst.
func (s *Session) forwardJob(rows [][]int32, startPos int, keep []int, dst []float32) (*job, error) {
	n, vocab := len(rows[0]), s.e.cfg.VocabSize
	slots := make([][]int, n) // where in keep a position is named
	for k, p := range keep {
		slots[p] = append(slots[p], k)
	}
	sorted := slices.Sorted(slices.Values(keep))
	wanted := func(from, to int) int {
		i, _ := slices.BinarySearch(sorted, from-startPos)
		if i == len(sorted) {
			return to
		}
		return min(sorted[i]+startPos, to)
	}
	j := &job{visit: func(i, pos int, logits []float32) error {
		if pos < startPos {
			return nil
		}
		for _, k := range slots[pos-startPos] {
			copy(dst[(i*len(keep)+k)*vocab:], logits)
		}
		return nil
	}}
	for i, ids := range rows {
		q := s.row(i)
		if startPos > q.Filled() {
			return nil, requestErrorf("begin at 0, or where the last call ended",
				"start_pos %d is past the %d positions that row %d has filled", startPos, q.Filled(), i)
		}
		j.rows = append(j.rows, &jobRow{seq: q, pending: ids, prompt: startPos + n, wanted: wanted})
		j.task.Rows = append(j.task.Rows, sched.Need{Seq: q, Positions: startPos + n})
	}
	j.begin = func() {
		for _, r := range j.rows {
			r.pos = startPos
			r.seq.Rewind(startPos)
			if again := r.seq.IDs()[r.seq.Len():]; len(again) > 0 { // lost to an eviction
				r.pos = r.seq.Len()
				r.pending = slices.Concat(again, r.pending)
			}
		}
	}
	return j, nil
}
