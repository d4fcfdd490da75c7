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
	rows, end := n*group, first+n
	width := roundUp(end, 64) + PanelRows
	s.scores = atLeast(s.scores, rows*width)
	s.out = atLeast(s.out, rows*a.dim16)
	scores, out := s.scores[:rows*width], s.out[:rows*a.dim16]

	size := PanelRows * a.dim8 * a.size
	for p := 0; p < end; p += a.Block {
		panels := (min(end-p, a.Block) + PanelRows - 1) / PanelRows
		k, ahead := s.Blocks[p/a.Block], 0
		if next := p + a.Block; n == 1 && next < end {
			ahead = distance(k, s.Blocks[next/a.Block])
		}
		a.kernel.panels(panels, rows, a.dim8, pointer(q[:rows*a.dim8]), pointer(k), pointer(scores[p:]), 4*a.dim8, 4*width, 0, size, ahead)
	}
	for r := range rows {
		active.softmax(scores[r*width:][:first+r/group+1], a.scale)
	}
	clear(out)
	full := (first + 1) / kStep * kStep
	for p := 0; p < full; p += a.Block {
		var next []byte
		if ahead := p + a.Block; n == 1 && ahead < full {
			next = a.values(s.Blocks[ahead/a.Block])
		}
		a.addValues(out, scores[p:], width, a.values(s.Blocks[p/a.Block]), next, a.Block, rows, min(a.Block, full-p))
	}
	a.attendTail(out, scores, width, group, first, n, full, s)
	for r := range rows {
		copy(dst[r/group*stride+r%group*a.Dim:][:a.Dim], out[r*a.dim16:])
	}
}

// attendTail adds, for each position, the values from full on to itself.
func (a *Attention) attendTail(out, scores []float32, width, group, first, n, full int, s *AttendScratch) {
	row := PanelRows * a.size
	s.tail = atLeast(s.tail, a.dim16/PanelRows*tailPositions*row)
	clear(s.tail)
	next := full
	for t := range n {
		p := first + t
		for ; next <= p; next++ {
			block := a.values(s.Blocks[next/a.Block])
			for d := range a.dim16 / PanelRows {
				copy(s.tail[(d*tailPositions+next-full)*row:][:row], block[(d*a.Block+next%a.Block)*row:])
			}
		}
		m := roundUp(p+1-full, kStep)
		if m == 0 {
			continue
		}
		own := scores[t*group*width+full:]
		for h := range group {
			clear(own[h*width+p+1-full : h*width+m])
		}
		a.addValues(out[t*group*a.dim16:], own, width, s.tail, nil, tailPositions, group, m)
	}
}

// addValues adds m positions of values, panels of block positions, each times
// its score, to rows rows of out. next, unless nil, are the values that follow.
func (a *Attention) addValues(out, scores []float32, width int, values, next []byte, block, rows, m int) {
	ahead := 0
	if next != nil {
		ahead = distance(values, next)
	}
	a.kernel.panels(a.dim16/PanelRows, rows, m, pointer(scores), pointer(values), pointer(out), 4*width, 4*a.dim16, 1,
		block*PanelRows*a.size, ahead)
}

// distance is the bytes from a to b.
func distance(a, b []byte) int { return int(uintptr(pointer(b)) - uintptr(pointer(a))) }
