package cpu

import (
	"context"
	"slices"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// span is a run of positions of one row of the batch whose attention is computed
// together: positions pos … pos+n-1, which are t … t+n-1 of the slice.
type span struct {
	t, pos, n int
	blocks    []int32
}

// attention turns q and k, writes k and v of the slice to the KV blocks, and
// computes for every position p and head
//
//	att = Σ_t softmax_t(q · k[t] / √headDim) · v[t],  t in [0, p]
//
// in an order that depends on p alone, so the bits do not depend on how the
// positions came into the KV; see simd.Attention.
func (b *backend) attention(ctx context.Context, layer int, slice []position) error {
	if err := b.each(ctx, len(slice), func(t int) { b.store(layer, t, &slice[t]) }); err != nil {
		return err
	}
	spans := b.scratch.spans
	kvHeads := b.model.cfg.NumKeyValueHeads
	if b.inParts() {
		return b.attendInParts(ctx, layer)
	}
	return b.run(ctx, len(spans)*kvHeads, func(worker, c int) {
		// Later positions see more: they go first, so that no long chunk is
		// left for the end.
		b.attend(worker, layer, c%kvHeads, &spans[len(spans)-1-c/kvHeads])
	})
}

// The attention of few heads at depth, which are no multiple of the workers, is
// cut so that all have as much: scores into partPositions, softmaxes by row,
// and the values of the heads that are too many into partDims elements. Whole
// heads read memory faster.
const (
	partPositions = 8 * engine.BlockSize
	partDims      = 2 * simd.PanelRows
	fewHeads      = 8 // per worker
)

// inParts tells whether the spans' attention is better cut.
func (b *backend) inParts() bool {
	spans, workers := b.scratch.spans, b.pool.Size()
	heads := len(spans) * b.model.cfg.NumKeyValueHeads
	return b.attn.Parts() && heads%workers != 0 && heads < fewHeads*workers &&
		slices.ContainsFunc(spans, func(p span) bool { return p.pos >= partPositions })
}

// part is a piece of one head's attention: positions, rows or elements [lo, hi).
type part struct {
	head   int // of all spans
	lo, hi int
}

// attendInParts is attention in three regions.
func (b *backend) attendInParts(ctx context.Context, layer int) error {
	s, kvHeads := &b.scratch, b.model.cfg.NumKeyValueHeads
	heads, workers := len(s.spans)*kvHeads, b.pool.Size()
	for len(s.shared) < heads {
		s.shared = append(s.shared, simd.AttendScratch{})
	}
	for h := range heads {
		p := &s.spans[h/kvHeads]
		b.blocksOf(&s.shared[h], layer, h%kvHeads, p)
		b.attn.Begin(s.group, p.pos, p.n, &s.shared[h])
	}

	scores, rows := s.parts[0][:0], s.parts[1][:0]
	for h := range heads {
		p := &s.spans[h/kvHeads]
		scores = cut(scores, h, p.pos+p.n, partPositions)
		rows = cut(rows, h, p.n*s.group, 1)
	}
	values, dims := s.parts[2][:0], (b.attn.Dim+simd.PanelRows-1)/simd.PanelRows*simd.PanelRows
	whole := heads / workers * workers
	var pieces []part
	for h := whole; h < heads; h++ {
		pieces = cut(pieces, h, dims, partDims)
	}
	for w := range workers { // a worker's chunks lie together
		for h := w; h < whole; h += workers {
			values = append(values, part{h, 0, dims})
		}
		for i := w; i < len(pieces); i += workers {
			values = append(values, pieces[i])
		}
	}
	s.parts = [3][]part{scores, rows, values}

	if err := b.run(ctx, len(scores), func(_, c int) {
		p := scores[c]
		b.attn.Scores(s.query(p.head%kvHeads, s.spans[p.head/kvHeads].t, 0), p.lo, p.hi, &s.shared[p.head])
	}); err != nil {
		return err
	}
	if err := b.run(ctx, len(rows), func(_, c int) {
		b.attn.Weights(rows[c].lo, rows[c].hi, &s.shared[rows[c].head])
	}); err != nil {
		return err
	}
	return b.run(ctx, len(values), func(_, c int) {
		p := values[c]
		b.attn.Values(b.attended(p.head%kvHeads, &s.spans[p.head/kvHeads]), s.att.Stride, p.lo, p.hi, &s.shared[p.head])
	})
}

// cut adds [0, n) of a head in pieces of step.
func cut(parts []part, head, n, step int) []part {
	for lo := 0; lo < n; lo += step {
		parts = append(parts, part{head, lo, min(n, lo+step)})
	}
	return parts
}

// cutSpans cuts a slice into spans of at most most positions.
func cutSpans(spans []span, slice []position, most int) []span {
	for t := range slice {
		p := &slice[t]
		if k := len(spans) - 1; k >= 0 && t > 0 && !p.first && spans[k].n < most {
			spans[k].n++
			continue
		}
		spans = append(spans, span{t, p.pos, 1, p.blocks})
	}
	return spans
}

// store turns q and k of a position, writes k and v where it lies in the KV, and
// copies q to where the heads of a group lie together.
func (b *backend) store(layer, t int, p *position) {
	cfg, s := &b.model.cfg, &b.scratch
	turn := simd.RopeHalves
	if b.model.order == weights.Interleaved {
		turn = simd.RopeInterleaved
	}
	cos, sin := b.rope.at(p.pos)
	d, group := cfg.HeadDim, cfg.NumAttentionHeads/cfg.NumKeyValueHeads
	q, k, v := s.q.row(t), s.k.row(t), s.v.row(t)
	for h := range cfg.NumAttentionHeads {
		own := q[h*d:][:d]
		turn(own, cos, sin)
		copy(s.query(h/group, t, h%group), own)
	}
	for h := range cfg.NumKeyValueHeads {
		own := k[h*d:][:d]
		turn(own, cos, sin)
		b.attn.Store(b.kv.head(p.blocks[p.pos/engine.BlockSize], layer, h), p.pos%engine.BlockSize, own, v[h*d:][:d])
	}
}

// attend computes the query heads of one key-value head for a span.
func (b *backend) attend(worker, layer, kvHead int, p *span) {
	s := &b.scratch
	own := &s.attend[worker]
	b.blocksOf(own, layer, kvHead, p)
	b.attn.Attend(b.attended(kvHead, p), s.att.Stride, s.query(kvHead, p.t, 0), s.group, p.pos, p.n, own)
}

// blocksOf sets the blocks that a span's attention reads.
func (b *backend) blocksOf(own *simd.AttendScratch, layer, kvHead int, p *span) {
	own.Blocks = own.Blocks[:0]
	for _, id := range p.blocks[:(p.pos+p.n-1)/engine.BlockSize+1] {
		own.Blocks = append(own.Blocks, b.kv.head(id, layer, kvHead))
	}
}

// attended is where the results of a span and key-value head begin.
func (b *backend) attended(kvHead int, p *span) []float32 {
	s := &b.scratch
	return s.att.F32[p.t*s.att.Stride+kvHead*s.group*b.attn.Dim:]
}
