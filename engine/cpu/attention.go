package cpu

import (
	"context"

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
	return b.run(ctx, len(spans)*kvHeads, func(worker, c int) {
		// Later positions see more: they go first, so that no long chunk is
		// left for the end.
		b.attend(worker, layer, c%kvHeads, &spans[len(spans)-1-c/kvHeads])
	})
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
	own.Blocks = own.Blocks[:0]
	for _, id := range p.blocks[:(p.pos+p.n-1)/engine.BlockSize+1] {
		own.Blocks = append(own.Blocks, b.kv.head(id, layer, kvHead))
	}
	dst := s.att.F32[p.t*s.att.Stride+kvHead*s.group*b.attn.Dim:]
	b.attn.Attend(dst, s.att.Stride, s.query(kvHead, p.t, 0), s.group, p.pos, p.n, own)
}
