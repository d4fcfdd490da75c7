package cpu

import (
	"context"
	"fmt"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
)

// sliceTokens is the most positions that go through the layers together. Larger
// batches are cut: it bounds the memory of activations, and no result depends
// on it.
const sliceTokens = 256

// position is one token of a slice: which row it belongs to and where.
type position struct {
	id     int32
	pos    int
	first  bool // of its row
	blocks []int32
	want   int // its logits are row want of backend.logits; -1: none
}

// Step runs the rows of a batch. Rows are flattened into one matrix of
// positions, so that each weight is decoded once for all of them. See
// engine.Backend for what may be relied on; errors are *BatchError,
// *WeightsGoneError, ErrClosed or the context's.
func (b *backend) Step(ctx context.Context, batch *engine.Batch) (*engine.Result, error) {
	if b.err != nil {
		return nil, b.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	positions, last, err := b.check(batch)
	if err != nil {
		return nil, err
	}
	res := b.result(batch)
	b.rope.grow(last + 1)
	slice := make([]position, 0, min(positions, sliceTokens))
	want := 0
	for r := range batch.Rows {
		row := &batch.Rows[r]
		for i := range (row.Start+len(row.Tokens)-1)/engine.BlockSize + 1 {
			if err := b.kv.need(row.Blocks[i]); err != nil {
				return nil, err
			}
		}
		for i, id := range row.Tokens {
			p := position{id: id, pos: row.Start + i, first: i == 0, blocks: row.Blocks, want: -1}
			if i >= len(row.Tokens)-row.LastN {
				p.want = want
				want++
			}
			if slice = append(slice, p); len(slice) == sliceTokens {
				if err := b.forward(ctx, slice); err != nil {
					return nil, b.fail(err)
				}
				slice = slice[:0]
			}
		}
	}
	if err := b.forward(ctx, slice); err != nil {
		return nil, b.fail(err)
	}
	return res, nil
}

// check validates a batch completely and returns its number of positions and
// the last position of all.
func (b *backend) check(batch *engine.Batch) (positions, last int, err error) {
	for r := range batch.Rows {
		row := &batch.Rows[r]
		n := len(row.Tokens)
		bad := func(format string, args ...any) (int, int, error) {
			return 0, 0, &BatchError{r, fmt.Sprintf(format, args...)}
		}
		room := len(row.Blocks) * engine.BlockSize
		switch {
		case n == 0:
			return bad("no tokens")
		case row.Start < 0 || row.Start > room || n > room-row.Start:
			return bad("positions %d to %d in %d blocks, which hold %d", row.Start, row.Start+n-1, len(row.Blocks), room)
		case row.LastN < 0 || row.LastN > n:
			return bad("logits of the last %d of %d positions", row.LastN, n)
		}
		for i, id := range row.Tokens {
			if id < 0 || int(id) >= b.model.cfg.VocabSize {
				return bad("token %d is id %d, the vocabulary has %d", i, id, b.model.cfg.VocabSize)
			}
		}
		for i, id := range row.Blocks {
			if id < 0 || b.maxBlocks > 0 && int(id) >= b.maxBlocks {
				return bad("block %d is number %d of at most %d", i, id, b.maxBlocks)
			}
		}
		positions += n
		last = max(last, row.Start+n-1)
	}
	return positions, last, nil
}

// result lays out the logits of all rows in the backend's own memory, which it
// keeps unless a step with far more logits made it large.
func (b *backend) result(batch *engine.Batch) *engine.Result {
	vocab, n := b.model.cfg.VocabSize, 0
	for _, row := range batch.Rows {
		n += row.LastN * vocab
	}
	if cap(b.logits) < n || cap(b.logits) > 4*n+1<<20 {
		b.logits = make([]float32, n)
	}
	b.logits = b.logits[:n]
	free := b.logits
	res := &engine.Result{Logits: make([][]float32, len(batch.Rows))}
	for i, row := range batch.Rows {
		n := row.LastN * vocab
		res.Logits[i], free = free[:n:n], free[n:]
	}
	return res
}

// forward runs at most sliceTokens positions through the model.
func (b *backend) forward(ctx context.Context, slice []position) error {
	if len(slice) == 0 {
		return nil
	}
	s := &b.scratch
	s.size(b.model, len(slice))
	s.spans = cutSpans(s.spans[:0], slice, simd.MaxPositions(s.group))
	if err := b.each(ctx, len(slice), func(t int) {
		b.model.embedTokens.Row(s.x.row(t), int(slice[t].id))
	}); err != nil {
		return err
	}
	for i := range b.model.layers {
		if err := b.block(ctx, i, slice); err != nil {
			return err
		}
	}
	return b.output(ctx, slice)
}

// output computes the logits of the positions that want them, which are rows
// one after another of backend.logits.
func (b *backend) output(ctx context.Context, slice []position) error {
	m, s := b.model, &b.scratch
	vocab := m.cfg.VocabSize
	wanted := s.wanted[:0]
	for t := range slice {
		if slice[t].want >= 0 {
			wanted = append(wanted, t)
		}
	}
	s.wanted = wanted
	n := len(wanted)
	if n == 0 {
		return nil
	}
	s.final.Grow(n)
	if err := b.each(ctx, n, func(i int) {
		x := s.x.row(wanted[i])
		simd.Add(x, s.delta.row(wanted[i]))
		simd.RMSNorm(s.final.Row(i), x, m.norm, m.cfg.RMSNormEps)
		s.final.Convert(i, 0, s.final.Width)
	}); err != nil {
		return err
	}
	first := slice[wanted[0]].want
	return b.multiply(ctx, n, &s.final, product{m.lmHead, b.logits[first*vocab:][:n*vocab], vocab})
}

// run is Pool.Run that stops claiming work when ctx ends.
func (b *backend) run(ctx context.Context, n int, f func(worker, chunk int)) error {
	err := b.pool.Run(n, func(worker, chunk int) {
		if ctx.Err() == nil {
			f(worker, chunk)
		}
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}
