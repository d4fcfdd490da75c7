package cpu

import (
	"context"

	"github.com/llama-go/llama-go/simd"
)

// block runs one decoder layer over the positions of a slice:
//
//	x += oProj(attention(inputLayernorm(x)))
//	x += downProj(silu(gateProj(n)) * upProj(n)), n = postAttentionLayernorm(x)
//
// What delta adds to x is added where x is read next.
func (b *backend) block(ctx context.Context, i int, slice []position) error {
	l, s, n := &b.model.layers[i], &b.scratch, len(slice)
	if err := b.normalize(ctx, n, l.inputLayernorm, i > 0); err != nil {
		return err
	}
	a := &l.selfAttn
	if err := b.multiply(ctx, n, &s.norm, product{a.qProj, s.q.data, s.q.stride},
		product{a.kProj, s.k.data, s.k.stride}, product{a.vProj, s.v.data, s.v.stride}); err != nil {
		return err
	}
	if err := b.attention(ctx, i, slice); err != nil {
		return err
	}
	if err := b.each(ctx, n, func(t int) { s.att.Convert(t, 0, s.att.Width) }); err != nil {
		return err
	}
	if err := b.multiply(ctx, n, &s.att, product{a.oProj, s.delta.data, s.delta.stride}); err != nil {
		return err
	}
	if err := b.normalize(ctx, n, l.postAttentionLayernorm, true); err != nil {
		return err
	}
	if err := b.gateUp(ctx, &l.mlp, n); err != nil {
		return err
	}
	return b.multiply(ctx, n, &s.gate, product{l.mlp.downProj, s.delta.data, s.delta.stride})
}

// normalize adds delta to x, if there is any, and computes norm = RMSNorm(x)·w
// in the forms that its products want.
func (b *backend) normalize(ctx context.Context, n int, w []float32, delta bool) error {
	s := &b.scratch
	return b.each(ctx, n, func(t int) {
		x := s.x.row(t)
		if delta {
			simd.Add(x, s.delta.row(t))
		}
		simd.RMSNorm(s.norm.Row(t), x, w, b.model.cfg.RMSNormEps)
		s.norm.Convert(t, 0, s.norm.Width)
	})
}

// gateUp computes gate = silu(gateProj(norm)) * upProj(norm) in one region, or in
// two where gate is converted as a whole.
func (b *backend) gateUp(ctx context.Context, m *mlp, n int) error {
	s, rows := &b.scratch, m.gateProj.Rows
	step, turn, whole := b.chunkRows(m.gateProj, 2, n), m.gateProj.Step(n), s.gate.Whole()
	err := b.run(ctx, chunks(rows, step), func(worker, c int) {
		lo, hi := c*step, min(rows, (c+1)*step)
		for r := lo; r < hi; r += turn {
			end := min(hi, r+turn)
			m.gateProj.MulRows(s.gate.F32, s.gate.Stride, r, end, &s.norm, n, s.panel[worker])
			m.upProj.MulRows(s.up.data, s.up.stride, r, end, &s.norm, n, s.panel[worker])
		}
		for t := range n {
			g := s.gate.Row(t)[lo:hi]
			simd.SiLUMul(g, g, s.up.row(t)[lo:hi])
			if !whole {
				s.gate.Convert(t, lo, hi)
			}
		}
	})
	if err != nil || !whole {
		return err
	}
	return b.each(ctx, n, func(t int) { s.gate.Convert(t, 0, s.gate.Width) })
}

// product is one matrix of a region and where its results go.
type product struct {
	m      *simd.Matrix
	dst    []float32 // (n, stride)
	stride int
}

// multiply computes dst = x · mᵀ for n rows of x and every product, in one
// region.
func (b *backend) multiply(ctx context.Context, n int, x *simd.Rows, ps ...product) error {
	total := 0
	for _, p := range ps {
		total += chunks(p.m.Rows, b.chunkRows(p.m, 1, n))
	}
	return b.run(ctx, total, func(worker, c int) {
		for _, p := range ps {
			step := b.chunkRows(p.m, 1, n)
			if k := chunks(p.m.Rows, step); c >= k {
				c -= k
				continue
			}
			p.m.MulRows(p.dst, p.stride, c*step, min(p.m.Rows, (c+1)*step), x, n, b.scratch.panel[worker])
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

// A chunk of a matrix product is about chunkProducts products: long beside the
// claim of a chunk, short beside a layer. With many activation rows it is
// rowStep weight rows, however long that takes.
const (
	chunkProducts = 32 << 10
	rowStep       = 32 // two panels; a block of activations that gateUp converts
)

// chunkRows is the number of weight rows in a chunk of matrices matrices like m, a
// multiple of rowStep: of m's own step where all workers still get some chunks.
// Results do not depend on it.
func (b *backend) chunkRows(m *simd.Matrix, matrices, n int) int {
	const some = 4
	step := max(rowStep, m.Step(n))
	if chunks(m.Rows, step) < some*b.pool.Size() {
		step = rowStep
	}
	return max(1, chunkProducts/(m.Cols*matrices*n*step)) * step
}

// chunks is the number of chunks of step that cover n.
func chunks(n, step int) int { return (n + step - 1) / step }
