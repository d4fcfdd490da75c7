package cpu

// scratch is the memory of activations, kept from step to step.
type scratch struct {
	x     []float32 // (n, hidden) the residual stream
	delta []float32 // (n, hidden) what attention or mlp adds to it
	norm  []float32 // (n, hidden)
	q     []float32 // (n, heads, headDim)
	k, v  []float32 // (n, kvHeads, headDim)
	att   []float32 // (n, heads, headDim)
	gate  []float32 // (n, intermediate), then gate·up
	up    []float32 // (n, intermediate)

	scores [][]float32 // (workers)(positions,)
	panel  [][]float32 // (workers)(Matrix.Scratch(),) decoded weights
}

// init makes what does not depend on the batch.
func (s *scratch) init(m *model, workers int) {
	l := &m.layers[0]
	floats := max(l.selfAttn.qProj.Scratch(), l.selfAttn.oProj.Scratch(), l.mlp.downProj.Scratch())
	s.scores = make([][]float32, workers)
	s.panel = make([][]float32, workers)
	for i := range s.panel {
		s.panel[i] = make([]float32, floats)
	}
}

// size makes room for n positions.
func (s *scratch) size(m *model, n int) {
	c := &m.cfg
	qDim, kvDim := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	for _, f := range []struct {
		dst   *[]float32
		width int
	}{
		{&s.x, c.HiddenSize}, {&s.delta, c.HiddenSize}, {&s.norm, c.HiddenSize},
		{&s.q, qDim}, {&s.att, qDim}, {&s.k, kvDim}, {&s.v, kvDim},
		{&s.gate, c.IntermediateSize}, {&s.up, c.IntermediateSize},
	} {
		if need := n * f.width; len(*f.dst) < need {
			*f.dst = make([]float32, need)
		}
	}
}

// scoresOf is the worker's own memory for n attention scores.
func (s *scratch) scoresOf(worker, n int) []float32 {
	if len(s.scores[worker]) < n {
		s.scores[worker] = make([]float32, max(n, 2*len(s.scores[worker])))
	}
	return s.scores[worker][:n]
}
