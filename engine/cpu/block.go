package cpu

import (
	"context"

	"github.com/llama-go/llama-go/simd"
)

// block runs one decoder layer over the positions of a slice:
//
//	x += oProj(attention(inputLayernorm(x)))
//	x += downProj(silu(gateProj(n)) * upProj(n)), n = postAttentionLayernorm(x)
func (b *backend) block(ctx context.Context, i int, slice []position) error {
	l, s, n := &b.model.layers[i], &b.scratch, len(slice)
	eps, hidden := b.model.cfg.RMSNormEps, b.model.cfg.HiddenSize

	err := b.each(ctx, n, func(t int) {
		simd.RMSNorm(s.norm[t*hidden:][:hidden], s.x[t*hidden:][:hidden], l.inputLayernorm, eps)
	})
	if err != nil {
		return err
	}
	a := &l.selfAttn
	if err := b.multiply(ctx, n, s.norm, product{&a.qProj, s.q}, product{&a.kProj, s.k}, product{&a.vProj, s.v}); err != nil {
		return err
	}
	if err := b.attention(ctx, i, slice); err != nil {
		return err
	}
	if err := b.multiply(ctx, n, s.att, product{&a.oProj, s.delta}); err != nil {
		return err
	}
	err = b.each(ctx, n, func(t int) {
		x := s.x[t*hidden:][:hidden]
		simd.Add(x, s.delta[t*hidden:][:hidden])
		simd.RMSNorm(s.norm[t*hidden:][:hidden], x, l.postAttentionLayernorm, eps)
	})
	if err != nil {
		return err
	}
	if err := b.gateUp(ctx, &l.mlp, n); err != nil {
		return err
	}
	if err := b.multiply(ctx, n, s.gate, product{&l.mlp.downProj, s.delta}); err != nil {
		return err
	}
	return b.each(ctx, n, func(t int) {
		simd.Add(s.x[t*hidden:][:hidden], s.delta[t*hidden:][:hidden])
	})
}

// gateUp computes gate = silu(gateProj(norm)) * upProj(norm) in one region.
func (b *backend) gateUp(ctx context.Context, m *mlp, n int) error {
	s, rows := &b.scratch, m.gateProj.Rows
	step := chunkRows(2*m.gateProj.Cols, n)
	return b.run(ctx, chunks(rows, step), func(worker, c int) {
		lo, hi := c*step, min(rows, (c+1)*step)
		m.gateProj.MulRows(s.gate, rows, lo, hi, s.norm, n, s.panel[worker])
		m.upProj.MulRows(s.up, rows, lo, hi, s.norm, n, s.panel[worker])
		for t := range n {
			g := s.gate[t*rows+lo : t*rows+hi]
			simd.SiLUMul(g, g, s.up[t*rows+lo:t*rows+hi])
		}
	})
}

// product is one matrix of a region and where its results go.
type product struct {
	m   *simd.Matrix
	dst []float32 // (n, m.Rows)
}

// multiply computes dst = x · mᵀ for n rows of x and every product, in one
// region.
func (b *backend) multiply(ctx context.Context, n int, x []float32, ps ...product) error { // x: (n, Cols)
	total := 0
	for _, p := range ps {
		total += chunks(p.m.Rows, chunkRows(p.m.Cols, n))
	}
	return b.run(ctx, total, func(worker, c int) {
		for _, p := range ps {
			step := chunkRows(p.m.Cols, n)
			if k := chunks(p.m.Rows, step); c >= k {
				c -= k
				continue
			}
			p.m.MulRows(p.dst, p.m.Rows, c*step, min(p.m.Rows, (c+1)*step), x, n, b.scratch.panel[worker])
			return
		}
	})
}

// each calls f for every position, several to a chunk.
func (b *backend) each(ctx context.Context, n int, f func(t int)) error {
	const step = 4
	return b.run(ctx, chunks(n, step), func(_, c int) {
		for t := c * step; t < min(n, (c+1)*step); t++ {
			f(t)
		}
	})
}

// A chunk of a matrix product is about chunkProducts products, some 15 µs: long
// beside the claim of a chunk, short beside a layer. With many activation rows
// it is minRows weight rows, however long that takes.
const (
	chunkProducts = 32 << 10
	minRows       = 8
)

// chunkRows is the number of weight rows in a chunk. Results do not depend on it.
func chunkRows(cols, n int) int { return max(minRows, chunkProducts/(cols*n)) }

// chunks is the number of chunks of step that cover n.
func chunks(n, step int) int { return (n + step - 1) / step }
