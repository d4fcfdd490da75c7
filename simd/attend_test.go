package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// timeline is the keys and values of one head in blocks, and the same as plain
// rows, rounded as they are stored.
type timeline struct {
	a      *Attention
	blocks [][]byte
	k, v   [][]float32
}

// newTimeline stores n positions in blocks that held rubbish before: NaNs of a
// kind, wherever a position's numbers may lie.
func newTimeline(r *rand.Rand, p *Plan, dim, n int, rubbish bool) *timeline {
	const block = 64
	tl := &timeline{a: p.NewAttention(dim, block)}
	bad := make([]float32, dim)
	for i := range bad {
		bad[i] = float32(math.NaN())
	}
	for range n/block + 1 {
		b := make([]byte, tl.a.HeadBytes())
		for at := 0; rubbish && at < block; at++ {
			tl.a.Store(b, at, slices.Clone(bad), slices.Clone(bad))
		}
		tl.blocks = append(tl.blocks, b)
	}
	for p := range n {
		k, v := make([]float32, dim), make([]float32, dim)
		for i := range k {
			k[i], v[i] = float32(r.IntN(65)-32)/16, float32(r.IntN(65)-32)/16 // the same in 16 bits
		}
		tl.a.Store(tl.blocks[p/block], p%block, slices.Clone(k), slices.Clone(v))
		tl.k, tl.v = append(tl.k, k), append(tl.v, v)
	}
	return tl
}

// queries are n positions of a group, padded.
func (tl *timeline) queries(r *rand.Rand, rows int) []float32 {
	q := make([]float32, rows*tl.a.QStride())
	for row := range rows {
		for i := range tl.a.Dim {
			q[row*tl.a.QStride()+i] = float32(r.NormFloat64())
		}
	}
	return q
}

// want is the attention of one query up to position p, in float64.
func (tl *timeline) want(q []float32, p int) []float64 {
	scores, sum := make([]float64, p+1), 0.0
	for i := range scores {
		for j := range tl.a.Dim {
			scores[i] += float64(q[j]) * float64(tl.k[i][j]) / math.Sqrt(float64(tl.a.Dim))
		}
		scores[i] = math.Exp(scores[i])
		sum += scores[i]
	}
	out := make([]float64, tl.a.Dim)
	for i, s := range scores {
		for j := range out {
			out[j] += s / sum * float64(tl.v[i][j])
		}
	}
	return out
}

// Attention is that of float64 at every depth and shape, whatever lay in the
// blocks before, and a position has the same bits alone and in any span.
func TestAttend(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for _, fast := range []bool{false, true} {
		for _, s := range []struct{ dim, group int }{{8, 1}, {64, 3}, {20, 2}, {128, 4}, {16, 16}, {64, 8}, {34, 5}} {
			t.Run(fmt.Sprintf("fast=%v/dim=%d/group=%d", fast, s.dim, s.group), func(t *testing.T) {
				const n = 150
				tl := newTimeline(r, NewPlan(fast), s.dim, n, true)
				q := tl.queries(r, n*s.group)
				stride := s.group*s.dim + 5
				alone, spans := make([]float32, n*stride), make([]float32, n*stride)
				var own AttendScratch
				own.Blocks = tl.blocks
				for p := range n {
					tl.a.Attend(alone[p*stride:], stride, q[p*s.group*tl.a.QStride():], s.group, p, 1, &own)
				}
				for p := 0; p < n; {
					m := min(n-p, 1+r.IntN(MaxPositions(s.group)))
					tl.a.Attend(spans[p*stride:], stride, q[p*s.group*tl.a.QStride():], s.group, p, m, &own)
					p += m
				}
				for i := range alone {
					if math.Float32bits(alone[i]) != math.Float32bits(spans[i]) {
						t.Fatalf("position %d, element %d: %v alone, %v in a span", i/stride, i%stride, alone[i], spans[i])
					}
				}
				for row := range n * s.group {
					p, h := row/s.group, row%s.group
					for i, want := range tl.want(q[row*tl.a.QStride():], p) {
						if got := alone[p*stride+h*s.dim+i]; !(math.Abs(float64(got)-want) <= 2e-6) {
							t.Fatalf("position %d, head %d, element %d: %v, want %v", p, h, i, got, want)
						}
					}
				}
			})
		}
	}
}

// What a later position of the same span holds does not reach an earlier one.
func TestAttendKeepsInfinityInItsPosition(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for _, fast := range []bool{false, true} {
		tl := newTimeline(r, NewPlan(fast), 64, 30, false)
		bad := make([]float32, 64)
		for i := range bad {
			bad[i] = float32(math.Inf(1))
		}
		tl.a.Store(tl.blocks[0], 22, slices.Clone(tl.k[22]), bad)
		q := tl.queries(r, 12)
		out := make([]float32, 12*64)
		tl.a.Attend(out, 64, q, 1, 15, 12, &AttendScratch{Blocks: tl.blocks})
		for i, v := range out {
			if finite := v-v == 0; finite != (15+i/64 < 22) {
				t.Fatalf("fast=%v: position %d has %v", fast, 15+i/64, v)
			}
		}
	}
}

func BenchmarkAttend(b *testing.B) {
	r := rand.New(rand.NewPCG(35, 36))
	for _, fast := range []bool{false, true} {
		for _, n := range []int{1, 4} {
			b.Run(fmt.Sprintf("fast=%v/dim=64/group=3/depth=1024/n=%d", fast, n), func(b *testing.B) {
				tl := newTimeline(r, NewPlan(fast), 64, 1024+n, false)
				q := tl.queries(r, 3*n)
				out := make([]float32, n*192)
				own := AttendScratch{Blocks: tl.blocks}
				for b.Loop() {
					tl.a.Attend(out, 192, q, 3, 1024, n, &own)
				}
			})
		}
	}
}
