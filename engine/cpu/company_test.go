package cpu_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llama-go/llama-go/engine"
)

// sequence is a prompt on its way through a backend.
type sequence struct {
	ids    []int32
	blocks []int32
	done   int       // positions that are in the KV
	logits []float32 // of all of them
}

// The logits of a sequence have the same bits alone in one step on one thread
// and among others, cut anywhere, in any blocks, on any number of threads.
func TestCompanyChunksAndThreadsChangeNoBit(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	eachModeAndCase(t, func(t *testing.T, mode engine.Precision, c *tinyCase) {
		checkCompany(t, r, c, func(threads int) engine.Backend {
			return openIn(t, mode, c.Config.Config, c.source(), threads)
		})
	})
}

// So it is of a model that was quantized at load.
func TestCompanyChangesNoBitOfAQuantizedModel(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, q := range quantizations {
		t.Run(string(q), func(t *testing.T) {
			eachModeAndCase(t, func(t *testing.T, mode engine.Precision, c *tinyCase) {
				if !c.floats() {
					return
				}
				checkCompany(t, r, c, func(threads int) engine.Backend {
					return openQuantized(t, mode, q, c.Config.Config, c.source(), threads)
				})
			})
		})
	}
}

// checkCompany compares random sequences alone on one thread with the same ones
// together on several.
func checkCompany(t *testing.T, r *rand.Rand, c *tinyCase, open func(threads int) engine.Backend) {
	const most = 5
	rounds := 6
	if raceDetector {
		rounds = 1
	}
	cfg := c.Config.Config
	alone := open(1)
	for range rounds {
		seqs := make([]sequence, 1+r.IntN(most))
		free := r.Perm(most * 6)
		for i := range seqs {
			n := 1 + r.IntN(90)
			if i == 0 {
				n = 1 + r.IntN(300) // more than go through the layers at once
			}
			for range n {
				seqs[i].ids = append(seqs[i].ids, r.Int32N(int32(cfg.VocabSize)))
			}
			for range (n + engine.BlockSize - 1) / engine.BlockSize {
				seqs[i].blocks = append(seqs[i].blocks, int32(free[0]))
				free = free[1:]
			}
		}
		together := open(1 + r.IntN(3))
		steps := runTogether(t, r, together, seqs)
		for i, s := range seqs {
			want := step(t, alone, engine.Row{Tokens: s.ids, Blocks: blocks(0, 6), LastN: len(s.ids)})[0]
			for k := range want {
				if math.Float32bits(want[k]) != math.Float32bits(s.logits[k]) {
					t.Fatalf("sequence %d of %d, after %d steps: logit %d of position %d is %v, alone %v",
						i, len(seqs), steps, k%cfg.VocabSize, k/cfg.VocabSize, s.logits[k], want[k])
				}
			}
		}
	}
}

// The attention of a deep position is cut into parts for some numbers of threads:
// that changes no bit either.
func TestPartsOfAttentionChangeNoBit(t *testing.T) {
	const depth = 600
	r := rand.New(rand.NewPCG(13, 14))
	eachModeAndCase(t, func(t *testing.T, mode engine.Precision, c *tinyCase) {
		ids := make([]int32, depth)
		for i := range ids {
			ids[i] = r.Int32N(int32(c.Config.VocabSize))
		}
		var want []float32
		for _, threads := range []int{1, 2, 3} {
			b := openIn(t, mode, c.Config.Config, c.source(), threads)
			kv := blocks(0, depth/engine.BlockSize+1)
			step(t, b, engine.Row{Tokens: ids[:depth-10], Blocks: kv})
			var got []float32
			for _, cut := range [][2]int{{depth - 10, depth - 9}, {depth - 9, depth - 3}, {depth - 3, depth}} {
				row := engine.Row{Tokens: ids[cut[0]:cut[1]], Start: cut[0], Blocks: kv, LastN: cut[1] - cut[0]}
				got = append(got, step(t, b, row)[0]...)
			}
			if threads == 1 {
				want = got
			}
			for k := range want {
				if math.Float32bits(want[k]) != math.Float32bits(got[k]) {
					t.Fatalf("%d threads: logit %d is %v, with one %v", threads, k, got[k], want[k])
				}
			}
		}
	})
}

// runTogether takes random chunks of random sequences until all are done.
func runTogether(t *testing.T, r *rand.Rand, b engine.Backend, seqs []sequence) (steps int) {
	for {
		var rows []engine.Row
		var who []int
		left := false
		for i, s := range seqs {
			rest := len(s.ids) - s.done
			if rest == 0 {
				continue
			}
			left = true
			if r.IntN(4) == 0 { // sits this one out
				continue
			}
			n := 1 + r.IntN(rest)
			if r.IntN(2) == 0 {
				n = min(n, 1+r.IntN(4))
			}
			rows = append(rows, engine.Row{Tokens: s.ids[s.done : s.done+n], Start: s.done, Blocks: s.blocks, LastN: n})
			who = append(who, i)
		}
		if !left {
			return steps
		}
		for k, logits := range step(t, b, rows...) {
			s := &seqs[who[k]]
			s.logits = append(s.logits, logits...)
			s.done += len(rows[k].Tokens)
		}
		steps++
	}
}

// Only the last LastN positions have logits, the same ones as when all have.
func TestLastN(t *testing.T) {
	c := tinyCases(t)[1]
	b := open(t, c.Config.Config, c.source(), 2)
	vocab := c.Config.VocabSize
	all := append([]float32(nil), step(t, b, engine.Row{Tokens: c.IDs[:9], Blocks: blocks(0, 1), LastN: 9})[0]...)
	res := step(t, b,
		engine.Row{Tokens: c.IDs[:9], Blocks: blocks(0, 1), LastN: 2},
		engine.Row{Tokens: c.IDs[:9], Blocks: blocks(1, 1)},
		engine.Row{Tokens: c.IDs[:5], Blocks: blocks(2, 1), LastN: 5})
	for i, want := range [][]float32{all[7*vocab:], nil, all[:5*vocab]} {
		if len(res[i]) != len(want) {
			t.Fatalf("row %d has %d logits, want %d", i, len(res[i]), len(want))
		}
		for k := range want {
			if res[i][k] != want[k] {
				t.Fatalf("row %d: logit %d is %v, want %v", i, k, res[i][k], want[k])
			}
		}
	}
}

// Rows may share the blocks of a common beginning.
func TestSharedPrefixBlocks(t *testing.T) {
	c := tinyCases(t)[1]
	b := open(t, c.Config.Config, c.source(), 2)
	ids := c.IDs[:70]
	want := append([]float32(nil), step(t, b, engine.Row{Tokens: ids, Blocks: blocks(0, 2), LastN: 1})[0]...)
	got := step(t, b,
		engine.Row{Tokens: ids[64:], Start: 64, Blocks: []int32{0, 2}, LastN: 1},
		engine.Row{Tokens: ids[64:], Start: 64, Blocks: []int32{0, 3}, LastN: 1})
	for i, row := range got {
		for k := range want {
			if row[k] != want[k] {
				t.Fatalf("row %d: logit %d is %v, want %v", i, k, row[k], want[k])
			}
		}
	}
}

// A step that was left when its context ended may be taken again.
func TestStepAfterCancel(t *testing.T) {
	c := tinyCases(t)[0]
	b := open(t, c.Config.Config, c.source(), 2)
	row := engine.Row{Tokens: c.IDs, Blocks: blocks(0, 3), LastN: 1}
	want := append([]float32(nil), step(t, b, row)[0]...)
	for looks := range 12 { // ends at the n-th look: between regions, inside them, after all
		ctx := &endsAt{Context: context.Background()}
		ctx.left.Store(int64(looks * looks * looks))
		if _, err := b.Step(ctx, &engine.Batch{Rows: []engine.Row{row}}); err != nil && err != context.Canceled {
			t.Fatalf("error %v, want the context's", err)
		} else if looks == 0 && err == nil {
			t.Fatal("a step whose context had ended succeeded")
		}
		for k, got := range step(t, b, row)[0] {
			if got != want[k] {
				t.Fatalf("after a step that was left: logit %d is %v, want %v", k, got, want[k])
			}
		}
	}
}
