package simd

// tileRows is the number of rows of the largest tile.
const tileRows = 12

// tailPositions is the most positions that some rows of an Attend see and some
// do not, and the rest of the eight that the first of them is in.
const tailPositions = kStep + (tileRows+kStep-1)/kStep*kStep

// attendTiles is Attend on panels.
//
// Scores are computed for whole panels of positions; those beyond a row's own
// position are never read. Values are added for the eights of positions that all
// rows see in tiles of all rows, block by block. The rest is added from a copy
// that grows from one position to the next and is zero beyond, so that what lies
// in memory after a position, another position's value or what a block held
// before, cannot reach it: zero times infinity would be no zero.
//
// One position reads its blocks from memory, in pieces too short for the
// processor to see them coming: each piece asks for the same one of the next
// block.
func (a *Attention) attendTiles(dst []float32, stride int, q []float32, group, first, n int, s *AttendScratch) {
	a.Begin(group, first, n, s)
	a.Scores(q, 0, first+n, s)
	a.Weights(0, n*group, s)
	a.Values(dst, stride, 0, a.dim16, s)
}

// Parts tells whether Attend can be computed in parts that run side by side:
// Begin; Scores of all positions, Weights of all rows, Values of all dimensions,
// each after the whole of the one before. Bits do not depend on the parts.
func (a *Attention) Parts() bool { return a.kernel != nil }

// Begin makes s ready for the parts of an Attend.
func (a *Attention) Begin(group, first, n int, s *AttendScratch) {
	s.group, s.first, s.n, s.rows = group, first, n, n*group
	s.width = roundUp(first+n, 64) + PanelRows
	s.scores = atLeast(s.scores, s.rows*s.width)
	s.out = atLeast(s.out, s.rows*a.dim16)
	s.tail = atLeast(s.tail, a.dim16/PanelRows*tailPositions*PanelRows*a.size)
}

// Scores computes q · k[p] for positions p in [lo, hi); lo is a multiple of
// Block, and so is hi where it is not the end.
func (a *Attention) Scores(q []float32, lo, hi int, s *AttendScratch) { // q: (n·group, QStride)
	size := PanelRows * a.dim8 * a.size
	for p := lo; p < hi; p += a.Block {
		panels := (min(hi-p, a.Block) + PanelRows - 1) / PanelRows
		k, ahead := s.Blocks[p/a.Block], 0
		if next := p + a.Block; s.n == 1 && next < s.first+s.n {
			ahead = distance(k, s.Blocks[next/a.Block])
		}
		a.kernel.panels(panels, s.rows, a.dim8, pointer(q[:s.rows*a.dim8]), pointer(k), pointer(s.scores[p:]),
			4*a.dim8, 4*s.width, 0, size, ahead)
	}
}

// Weights turns the scores of rows [lo, hi) into the softmax. What Values reads
// after it is zero.
func (a *Attention) Weights(lo, hi int, s *AttendScratch) {
	for r := lo; r < hi; r++ {
		row, end := s.scores[r*s.width:][:s.width], s.first+r/s.group+1
		active.softmax(row[:end], a.scale)
		clear(row[end:roundUp(end, kStep)])
	}
}

// Values computes elements [lo, hi) of each head from the softmax; both are
// multiples of 16, hi at most Dim rounded up to one.
func (a *Attention) Values(dst []float32, stride, lo, hi int, s *AttendScratch) { // dst: (n, group, Dim)
	for r := range s.rows {
		clear(s.out[r*a.dim16+lo : r*a.dim16+hi])
	}
	full := (s.first + 1) / kStep * kStep
	for p := 0; p < full; p += a.Block {
		v, ahead := a.values(s.Blocks[p/a.Block]), 0
		if next := p + a.Block; s.n == 1 && next < full {
			ahead = distance(v, a.values(s.Blocks[next/a.Block]))
		}
		a.addValues(s.out, s.scores[p:], v, a.Block, lo, hi, s.rows, min(a.Block, full-p), ahead, s)
	}
	a.attendTail(lo, hi, full, s)
	for r := range s.rows {
		copy(dst[r/s.group*stride+r%s.group*a.Dim:][lo:min(hi, a.Dim)], s.out[r*a.dim16+lo:])
	}
}

// attendTail adds, for each position, the values from full on to itself.
func (a *Attention) attendTail(lo, hi, full int, s *AttendScratch) {
	row := PanelRows * a.size
	clear(s.tail[lo/PanelRows*tailPositions*row : hi/PanelRows*tailPositions*row])
	next := full
	for t := range s.n {
		p := s.first + t
		for ; next <= p; next++ {
			block := a.values(s.Blocks[next/a.Block])
			for d := lo / PanelRows; d < hi/PanelRows; d++ {
				copy(s.tail[(d*tailPositions+next-full)*row:][:row], block[(d*a.Block+next%a.Block)*row:])
			}
		}
		if m := roundUp(p+1-full, kStep); m > 0 {
			a.addValues(s.out[t*s.group*a.dim16:], s.scores[t*s.group*s.width+full:], s.tail, tailPositions, lo, hi, s.group, m, 0, s)
		}
	}
}

// addValues adds elements [lo, hi) of m positions of values, panels of block
// positions, each times its score, to rows rows of out. ahead is where the values
// lie that follow, 0 if none do.
func (a *Attention) addValues(out, scores []float32, values []byte, block, lo, hi, rows, m, ahead int, s *AttendScratch) {
	size := block * PanelRows * a.size
	a.kernel.panels((hi-lo)/PanelRows, rows, m, pointer(scores), pointer(values[lo/PanelRows*size:]), pointer(out[lo:]),
		4*s.width, 4*a.dim16, 1, size, ahead)
}

// distance is the bytes from a to b.
func distance(a, b []byte) int { return int(uintptr(pointer(b)) - uintptr(pointer(a))) }
