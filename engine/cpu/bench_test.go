package cpu_test

import (
	"fmt"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/testdata"
)

// inModes runs f in both modes, on two threads and on one.
func inModes(b *testing.B, f func(b *testing.B, be engine.Backend)) {
	for _, mode := range modes {
		for _, threads := range []int{2, 1} {
			b.Run(fmt.Sprintf("%s/threads=%d", mode, threads), func(b *testing.B) {
				_, be := openCheckpoint(b, testdata.SmolLM2(b), mode, threads)
				b.Log(be.Describe())
				f(b, be)
			})
		}
	}
}

// BenchmarkDecode is one token after another on smollm2, with logits.
func BenchmarkDecode(b *testing.B) {
	inModes(b, func(b *testing.B, be engine.Backend) {
		for _, depth := range []int{1, 1024, 4096} {
			b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
				prompt := make([]int32, depth)
				kv := blocks(0, depth/engine.BlockSize+2)
				step(b, be, engine.Row{Tokens: prompt, Blocks: kv})
				i := 0
				for b.Loop() {
					step(b, be, engine.Row{Tokens: []int32{504}, Start: depth + i%engine.BlockSize, Blocks: kv, LastN: 1})
					i++
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tok/s")
			})
		}
		for _, n := range []int{4, 16} {
			b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
				rows := make([]engine.Row, n)
				for i := range rows {
					rows[i] = engine.Row{Tokens: []int32{504}, Blocks: blocks(i, 1), LastN: 1}
				}
				for b.Loop() {
					step(b, be, rows...)
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tok/s")
			})
		}
	})
}

// BenchmarkPrefill is a prompt in one step, logits of its last position.
func BenchmarkPrefill(b *testing.B) {
	inModes(b, func(b *testing.B, be engine.Backend) {
		for _, n := range []int{32, 512, 2048} {
			b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
				prompt := make([]int32, n)
				for i := range prompt {
					prompt[i] = int32(50 + i*7919%900)
				}
				for b.Loop() {
					step(b, be, engine.Row{Tokens: prompt, Blocks: blocks(0, n/engine.BlockSize+1), LastN: 1})
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tok/s")
			})
		}
	})
}
