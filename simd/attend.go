package simd

import "math"

// Attention computes attention over blocks of keys and values. It is made for
// one shape and plan; its methods may run side by side.
//
// A block holds Block positions of one key-value head. The unit decides how:
// with tiles, keys lie as panels of 16 positions [Block/16][dim][16], padded to
// dim8, and values as panels of 16 dimensions [dim/16][Block][16], padded to
// dim16, both in float32 or binary16. Otherwise both are (Block, dim) float32.
// A new block is zero.
type Attention struct {
	Dim, Block  int
	kernel      *kernel
	size        int // bytes of an element
	dim8, dim16 int
	scale       float32 // 1/√Dim
}

// NewAttention fits heads of dim elements and blocks of a multiple of 16
// positions.
func (p *Plan) NewAttention(dim, block int) *Attention {
	a := &Attention{Dim: dim, Block: block, kernel: p.kv, size: 4, dim8: dim, dim16: dim,
		scale: float32(1 / math.Sqrt(float64(dim)))}
	if a.kernel != nil {
		a.dim8, a.dim16 = roundUp(dim, kStep), roundUp(dim, PanelRows)
		if a.kernel.half {
			a.size = 2
		}
	}
	return a
}

// QStride is how far apart the queries lie that Attend takes: Dim, and zeros.
func (a *Attention) QStride() int { return a.dim8 }

// HeadBytes is the memory of a block's keys and values of one head, a multiple
// of 64 where tiles read it.
func (a *Attention) HeadBytes() int { return a.Block * (a.dim8 + a.dim16) * a.size }

// values is the part of a block's memory that holds values.
func (a *Attention) values(kv []byte) []byte { return kv[a.Block*a.dim8*a.size:] }

// Store writes the key and the value of position at of a block. k and v are
// scratch afterwards.
func (a *Attention) Store(kv []byte, at int, k, v []float32) { // k, v: (Dim,)
	values := a.values(kv)
	switch {
	case a.kernel == nil:
		copy(as[float32](kv)[at*a.Dim:], k)
		copy(as[float32](values)[at*a.Dim:], v)
	case a.kernel.half:
		half := as[uint16](k)[:a.Dim] // never ahead of what is read
		active.toF16(half, k)
		storeKey(as[uint16](kv)[(at/PanelRows*a.dim8)*PanelRows+at%PanelRows:], half)
		half = as[uint16](v)[:a.Dim]
		active.toF16(half, v)
		storeValue(as[uint16](values)[at*PanelRows:], half, a.Block)
	default:
		storeKey(as[float32](kv)[at/PanelRows*a.dim8*PanelRows+at%PanelRows:], k)
		storeValue(as[float32](values)[at*PanelRows:], v, a.Block)
	}
}

// storeKey scatters k to a lane of a panel.
func storeKey[T any](panel, k []T) {
	for i, x := range k {
		panel[i*PanelRows] = x
	}
}

// storeValue copies v to its row in each panel of block rows.
func storeValue[T any](panels, v []T, block int) {
	for i := 0; i < len(v); i += PanelRows {
		copy(panels[i*block:], v[i:min(len(v), i+PanelRows)])
	}
}

// AttendScratch is the memory of one Attend at a time.
type AttendScratch struct {
	Blocks [][]byte // of the positions, set by the caller of Attend

	group, first, n, rows, width int       // of the Attend; rows = n·group
	scores                       []float32 // (rows, width)
	out                          []float32 // (rows, dim16)
	tail                         []byte    // (dim16/16, tailPositions, 16) values
}

// MaxPositions is how many positions Attend takes at once for a group of query
// heads that share keys: then a tile is full.
func MaxPositions(group int) int { return max(1, tileRows/group) }

// Attend computes, for n positions from first on and the group query heads of
// one key-value head,
//
//	dst[t*stride+h*Dim:] = Σ_p softmax_p(q[t*group+h] · k[p] / √Dim) · v[p], p in [0, first+t]
//
// The softmax is taken over all p at once and the values are added in the order
// of p in one chain, so that the bits of a row depend on its own position alone.
// n is at most MaxPositions(group).
func (a *Attention) Attend(dst []float32, stride int, q []float32, group, first, n int, s *AttendScratch) { // q: (n·group, QStride)
	if a.kernel == nil {
		a.attendRows(dst, stride, q, group, first, n, s)
		return
	}
	a.attendTiles(dst, stride, q, group, first, n, s)
}

// atLeast returns s with n elements, made anew where it has fewer.
func atLeast[T any](s []T, n int) []T {
	if len(s) < n {
		return make([]T, n+n/2)
	}
	return s
}

// attendRows is Attend on rows of keys and values.
func (a *Attention) attendRows(dst []float32, stride int, q []float32, group, first, n int, s *AttendScratch) {
	s.scores = atLeast(s.scores, first+n)
	for r := range n * group {
		scores := s.scores[:first+r/group+1]
		out := dst[r/group*stride+r%group*a.Dim:][:a.Dim]
		for p := 0; p < len(scores); p += a.Block {
			m := min(a.Block, len(scores)-p)
			DotRows(scores[p:][:m], q[r*a.dim8:][:a.Dim], as[float32](s.Blocks[p/a.Block])[:m*a.Dim])
		}
		active.softmax(scores, a.scale)
		clear(out)
		for p := 0; p < len(scores); p += a.Block {
			m := min(a.Block, len(scores)-p)
			active.weightedSum(out, scores[p:][:m], as[float32](a.values(s.Blocks[p/a.Block]))[:m*a.Dim])
		}
	}
}
