package kernel

import (
	"testing"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// BenchmarkRoundTrip is a small request over ipc and its answer.
func BenchmarkRoundTrip(b *testing.B) {
	file, _ := testResident(b, ServeOptions{})
	h := connectTo(b, file, "bench")
	for b.Loop() {
		if _, err := h.Stats(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkResultRead reads 64 MiB of logits over ipc.
func BenchmarkResultRead(b *testing.B) {
	file, _ := testResident(b, ServeOptions{})
	h := connectTo(b, file, "bench")
	cfg := tinyConfig()
	cfg.VocabSize = 1 << 16
	l := h.link
	m, err := ask[rpc.NewResult](b.Context(), l, rpc.MethodModelNew, rpc.NewParams{Config: cfg, DType: "float32", Precision: "exact"})
	if err != nil {
		b.Fatal(err)
	}
	s, err := ask[rpc.SessionResult](b.Context(), l, rpc.MethodSessionOpen, rpc.SessionParams{Model: m.Model})
	if err != nil {
		b.Fatal(err)
	}
	r, err := ask[rpc.ForwardResult](b.Context(), l, rpc.MethodForward, rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{make([]int32, 256)}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(rpc.MaxBuffer)
	for b.Loop() {
		bufs, err := l.rpc.Call(b.Context(), rpc.MethodResultRead, rpc.ResultReadParams{Result: r.Result, Count: rpc.MaxBuffer / 4}, nil, rpc.CallOptions{})
		if err != nil || len(bufs) != 1 || len(bufs[0]) != rpc.MaxBuffer {
			b.Fatal(len(bufs), err)
		}
	}
}
