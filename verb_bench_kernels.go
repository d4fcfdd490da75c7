package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// kernelRows are the numbers of activation rows that meet a matrix.
var kernelRows = []int{1, 4, 16, 64, 512}

const (
	kernelCols  = 2048
	kernelBytes = 128 << 20 // of a matrix, more than the caches hold
	kernelWide  = 2048      // rows of weights that many rows of activations meet
	kernelSlice = 256       // activation rows that meet weights together in the engine
	kernelChunk = 32        // rows of weights between two claims
)

// kernels measures the products of each type with random activations.
func (b *bench) kernels(ctx context.Context) error {
	types := b.types
	if len(types) == 0 {
		types = knownTypes()
	}
	for _, t := range types {
		for _, mode := range b.modes {
			for _, threads := range b.threads {
				if err := b.kernel(ctx, t, mode, threads); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// kernel measures one type.
func (b *bench) kernel(ctx context.Context, t benchType, mode engine.Precision, threads int) error {
	b.say("kernels of %s %s: filling", t.name, mode)
	l, err := newLimits(threads, kernelBytes)
	if err != nil {
		return err
	}
	defer l.close()
	plan := simd.NewPlan(mode == engine.Fast)
	m, free, err := kernelMatrix(t, plan, l.pool)
	if err != nil {
		return err
	}
	defer free()
	row := benchRow{Part: "kernels", Type: t.name, Mode: string(mode), Threads: threads, Unit: "Gop/s",
		Limit: plan.Limit(m.Type)}
	var cases []*benchCase
	for _, n := range kernelRows {
		cases = append(cases, b.kernelCase(row, m, l.pool, n))
	}
	if err := b.rounds(ctx, l, cases); err != nil {
		return err
	}
	for _, c := range cases {
		scale := c.ops / 1e9
		c.gops = nil // the rate says it
		b.add(c, scale)
	}
	return nil
}

// kernelMatrix is a matrix of random weights as the plan multiplies it.
func kernelMatrix(t benchType, plan *simd.Plan, pool *simd.Pool) (m *simd.Matrix, free func(), err error) {
	rows := kernelBytes / t.simdType().RowBytes(kernelCols) / kernelChunk * kernelChunk
	src := engine.RandomSource(weights.Config{HiddenSize: kernelCols, IntermediateSize: kernelChunk, NumAttentionHeads: 1,
		NumKeyValueHeads: 1, HeadDim: kernelChunk, VocabSize: rows, TieWordEmbeddings: true}, t.dtype, 1)
	v, _ := src.Tensor("model.embed_tokens.weight")
	stored, err := simd.NewMatrix(simdType(t.dtype.String()), rows, kernelCols, v.Data)
	if err != nil {
		return nil, nil, err
	}
	want := &stored
	if t.quantize != engine.NoQuantize {
		want = stored.As(t.simdType())
	}
	packs := plan.Packs(want.Type)
	if !packs && want == &stored {
		return &stored, func() {}, nil
	}
	mem, err := simd.NewMemory(max(want.PanelBytes(), want.StoredBytes()))
	if err != nil {
		return nil, nil, err
	}
	made := want.Stored(mem.Bytes)
	if packs {
		made = plan.Panels(want, mem.Bytes)
	}
	const few = 16 // panels of a chunk
	chunks := (made.Panels() + few - 1) / few
	return &made, mem.Free, pool.Run(chunks, func(_, c int) {
		lo, hi := c*few, min(made.Panels(), (c+1)*few)
		if want == &stored {
			made.PackPanels(&stored, lo, hi)
		} else if err := made.Quantize(&stored, lo, hi, make([]float32, simd.QuantizeScratch(kernelCols))); err != nil {
			panic(err) // random weights are finite
		}
	})
}

// kernelCase multiplies n rows; a step is all of them with all the weights that
// are used, which fewer are where arithmetic is the limit.
func (b *bench) kernelCase(row benchRow, m *simd.Matrix, pool *simd.Pool, n int) *benchCase {
	used := m.Rows
	if n > 16 {
		used = min(used, kernelWide)
	}
	slice := min(n, kernelSlice)
	x := simd.NewRows(m.Cols)
	x.Want(m)
	x.Grow(slice)
	rnd := rand.New(rand.NewPCG(3, 4))
	for r := range slice {
		for i := range x.Row(r) {
			x.Row(r)[i] = float32(rnd.NormFloat64())
		}
		x.Convert(r, 0, x.Width)
	}
	dst := make([]float32, slice*used)
	scratch := make([][]float32, pool.Size())
	for i := range scratch {
		scratch[i] = make([]float32, m.Scratch())
	}
	row.What = plural(n, "row")
	bytes := float64(m.Bytes()) * float64(used) / float64(m.Rows)
	if n > 16 {
		bytes = 0
	}
	return &benchCase{
		row: row, bytes: bytes, ops: 2 * float64(n) * float64(used) * float64(m.Cols),
		measure: func(ctx context.Context, _ int) (float64, error) {
			start, steps := time.Now(), 0
			for steps == 0 || ctx.Err() == nil && time.Since(start) < b.flags.sample/4 {
				for done := 0; done < n; done += slice {
					if err := pool.Run(used/kernelChunk, func(worker, c int) {
						m.MulRows(dst, used, c*kernelChunk, (c+1)*kernelChunk, &x, slice, scratch[worker])
					}); err != nil {
						return 0, err
					}
				}
				steps++
			}
			return float64(steps) / time.Since(start).Seconds(), nil
		},
	}
}
