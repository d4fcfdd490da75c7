package cpu

import "github.com/llama-go/llama-go/simd"

// scratch is the memory of activations, kept from step to step. What products
// read is simd.Rows; the rest are plain rows.
type scratch struct {
	x, delta matrix    // (n, hidden) the residual stream; what is added to it
	norm     simd.Rows // (n, hidden)
	final    simd.Rows // (n, hidden) normalized for the logits
	q        matrix    // (n, heads·headDim)
	k, v     matrix    // (n, kvHeads·headDim)
	att      simd.Rows // (n, heads·headDim)
	gate     simd.Rows // (n, intermediate), then silu(gate)·up
	up       matrix    // (n, intermediate)

	queries []float32 // (kvHeads, n, group, qStride), turned
	qStride int
	group   int // query heads of a key-value head
	n       int // positions that there is room for
	spans   []span
	wanted  []int // positions of the slice whose logits are wanted

	attend []simd.AttendScratch // (workers)
	shared []simd.AttendScratch // (spans, kvHeads), where attention is cut into parts
	parts  [3][]part            // of scores, softmaxes and values
	panel  [][]float32          // (workers)(Matrix.Scratch(),)
}

// matrix is rows of floats, stride apart.
type matrix struct {
	data          []float32
	width, stride int
}

func newMatrix(width int) matrix { return matrix{width: width, stride: simd.NewRows(width).Stride} }

func (m *matrix) row(t int) []float32 { return m.data[t*m.stride:][:m.width] }

func (m *matrix) grow(n int) {
	if len(m.data) < n*m.stride {
		m.data = make([]float32, n*m.stride)
	}
}

// init makes what does not depend on the batch.
func (s *scratch) init(m *model, a *simd.Attention, workers int) {
	c := &m.cfg
	qDim, kvDim := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	s.x, s.delta, s.q, s.k, s.v, s.up = newMatrix(c.HiddenSize), newMatrix(c.HiddenSize), newMatrix(qDim),
		newMatrix(kvDim), newMatrix(kvDim), newMatrix(c.IntermediateSize)
	s.norm, s.final, s.att, s.gate = simd.NewRows(c.HiddenSize), simd.NewRows(c.HiddenSize),
		simd.NewRows(qDim), simd.NewRows(c.IntermediateSize)
	s.final.Want(m.lmHead)
	floats := m.lmHead.Scratch()
	for i := range m.layers {
		l := &m.layers[i]
		for _, w := range []struct {
			rows *simd.Rows
			m    *simd.Matrix
		}{
			{&s.norm, l.selfAttn.qProj}, {&s.norm, l.selfAttn.kProj}, {&s.norm, l.selfAttn.vProj},
			{&s.att, l.selfAttn.oProj},
			{&s.norm, l.mlp.gateProj}, {&s.norm, l.mlp.upProj}, {&s.gate, l.mlp.downProj},
		} {
			w.rows.Want(w.m)
			floats = max(floats, w.m.Scratch())
		}
	}
	s.qStride, s.group = a.QStride(), c.NumAttentionHeads/c.NumKeyValueHeads
	s.attend = make([]simd.AttendScratch, workers)
	s.panel = make([][]float32, workers)
	for i := range s.panel {
		s.panel[i] = make([]float32, floats)
	}
}

// size makes room for n positions.
func (s *scratch) size(m *model, n int) {
	for _, f := range []*matrix{&s.x, &s.delta, &s.q, &s.k, &s.v, &s.up} {
		f.grow(n)
	}
	for _, r := range []*simd.Rows{&s.norm, &s.att, &s.gate} {
		r.Grow(n)
	}
	if n > s.n {
		s.n = n
		s.queries = make([]float32, n*m.cfg.NumAttentionHeads*s.qStride)
	}
}

// query is where the turned query of a head of a group lies, and all that follow
// it: heads, then positions.
func (s *scratch) query(kvHead, t, head int) []float32 {
	return s.queries[((kvHead*s.n+t)*s.group+head)*s.qStride:]
}
