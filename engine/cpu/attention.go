package cpu

import (
	"context"
	"math"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// attention turns q and k, writes k and v of the slice to the KV blocks, and
// computes for every position p and head
//
//	att = Σ_t softmax_t(q · k[t] / √headDim) · v[t],  t in [0, p]
//
// The softmax's maximum and sum are taken over all t at once and the products
// are added in the order of t from position 0, so the bits do not depend on how
// the positions came into the KV.
func (b *backend) attention(ctx context.Context, layer int, slice []position) error {
	if err := b.each(ctx, len(slice), func(t int) { b.store(layer, t, &slice[t]) }); err != nil {
		return err
	}
	heads := b.model.cfg.NumAttentionHeads
	return b.run(ctx, len(slice)*heads, func(worker, c int) {
		// Later positions see more: they go first, so that no long chunk is
		// left for the end.
		t := len(slice) - 1 - c/heads
		b.attend(worker, layer, t, c%heads, &slice[t])
	})
}

// store turns q and k of a position and writes k and v where it lies in the KV.
func (b *backend) store(layer, t int, p *position) {
	cfg, s := &b.model.cfg, &b.scratch
	turn := simd.RopeHalves
	if b.model.order == weights.Interleaved {
		turn = simd.RopeInterleaved
	}
	cos, sin := b.rope.at(p.pos)
	d := cfg.HeadDim
	for h := range cfg.NumAttentionHeads {
		turn(s.q[(t*cfg.NumAttentionHeads+h)*d:][:d], cos, sin)
	}
	at := p.pos % engine.BlockSize * d
	for h := range cfg.NumKeyValueHeads {
		k, v := b.kv.kv(p.blocks[p.pos/engine.BlockSize], layer, h)
		own := (t*cfg.NumKeyValueHeads + h) * d
		copy(k[at:][:d], s.k[own:][:d])
		copy(v[at:][:d], s.v[own:][:d])
		turn(k[at:][:d], cos, sin)
	}
}

// attend computes one head of one position.
func (b *backend) attend(worker, layer, t, head int, p *position) {
	cfg, s := &b.model.cfg, &b.scratch
	d := cfg.HeadDim
	kvHead := head / (cfg.NumAttentionHeads / cfg.NumKeyValueHeads)
	own := (t*cfg.NumAttentionHeads + head) * d
	q, out := s.q[own:][:d], s.att[own:][:d]
	scores := s.scoresOf(worker, p.pos+1)

	scale := float32(1 / math.Sqrt(float64(d)))
	for at := 0; at < len(scores); at += engine.BlockSize {
		n := min(engine.BlockSize, len(scores)-at)
		k, _ := b.kv.kv(p.blocks[at/engine.BlockSize], layer, kvHead)
		simd.DotRows(scores[at:][:n], q, k[:n*d])
	}
	for i := range scores {
		scores[i] *= scale
	}
	simd.Softmax(scores)
	clear(out)
	for at := 0; at < len(scores); at += engine.BlockSize {
		n := min(engine.BlockSize, len(scores)-at)
		_, v := b.kv.kv(p.blocks[at/engine.BlockSize], layer, kvHead)
		simd.WeightedSum(out, scores[at:][:n], v[:n*d])
	}
}
