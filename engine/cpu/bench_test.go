package cpu_test

import (
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/testdata"
)

// BenchmarkDecode is one token after another on smollm2, with logits.
func BenchmarkDecode(b *testing.B) {
	_, be := openCheckpoint(b, testdata.SmolLM2(b), 0)
	b.Log(be.Describe())
	for _, depth := range []struct {
		name string
		n    int
	}{{"depth=0", 1}, {"depth=1024", 1024}} {
		b.Run(depth.name, func(b *testing.B) {
			prompt := make([]int32, depth.n)
			kv := blocks(0, depth.n/engine.BlockSize+2)
			step(b, be, engine.Row{Tokens: prompt, Blocks: kv})
			i := 0
			for b.Loop() {
				step(b, be, engine.Row{Tokens: []int32{504}, Start: depth.n + i%engine.BlockSize, Blocks: kv, LastN: 1})
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
	b.Run("rows=8", func(b *testing.B) {
		rows := make([]engine.Row, 8)
		for i := range rows {
			rows[i] = engine.Row{Tokens: []int32{504}, Blocks: blocks(i, 1), LastN: 1}
		}
		for b.Loop() {
			step(b, be, rows...)
		}
		b.ReportMetric(8*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
	})
}

// BenchmarkPrefill is a prompt in one step, logits of its last position.
func BenchmarkPrefill(b *testing.B) {
	_, be := openCheckpoint(b, testdata.SmolLM2(b), 0)
	for _, n := range []struct {
		name string
		n    int
	}{{"n=32", 32}, {"n=256", 256}, {"n=1024", 1024}} {
		b.Run(n.name, func(b *testing.B) {
			prompt := make([]int32, n.n)
			for b.Loop() {
				step(b, be, engine.Row{Tokens: prompt, Blocks: blocks(0, n.n/engine.BlockSize+1), LastN: 1})
			}
			b.ReportMetric(float64(n.n)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}
