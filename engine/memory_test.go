package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/weights"
)

// llama7B is the default of ModelArgs.
func llama7B() weights.Config {
	return weights.Config{
		HiddenSize: 4096, IntermediateSize: 11008, NumHiddenLayers: 32, NumAttentionHeads: 32, NumKeyValueHeads: 32,
		HeadDim: 128, VocabSize: 32000, MaxPositionEmbeddings: 2048, RMSNormEps: 1e-6, RopeTheta: 1e4, BOS: -1,
	}
}

func TestNeedOfTheDefaultModel(t *testing.T) {
	src := RandomSource(llama7B(), weights.F16, 0).(*randomSource)
	if got := src.WeightBytes(); got != 13_476_831_232 {
		t.Errorf("7B in f16 takes %d bytes, want 13,476,831,232", got)
	}
	none := func(string) weights.DType { return 0 }
	need := func(opt Options) Memory { return NeedMemory(llama7B(), none, false, src.WeightBytes(), opt) }
	m := need(Options{Precision: Exact})
	if m.MaxBatch != 32 || m.MaxSeqLen != 2048 || m.KVBlock != 64<<20 || m.KV != 2<<30 {
		t.Errorf("%+v; want 1 MiB of float32 KV a position, 2 GiB a row", m)
	}
	if n := m.Needed(); n < 15_600_000_000 || n > 16_500_000_000 {
		t.Errorf("needed %d bytes", n)
	}
	var mem *MemoryError
	if err := m.check(8_000_000_000); !errors.As(err, &mem) {
		t.Fatalf("fits into 8 GB: %v", err)
	}
	for _, want := range []string{"15.", "8.00 GB", "8000000000 bytes", "weights 13.48 GB", "2048 tokens 2.15 GB"} {
		if !strings.Contains(mem.Error(), want) {
			t.Errorf("%q does not tell %q", mem.Error(), want)
		}
	}
	if len(mem.Remedies) != 3 || !strings.Contains(mem.Hint(), "not enough alone") || !strings.Contains(mem.Hint(), "quantized") {
		t.Errorf("hint %q", mem.Hint())
	}
	// With 14.7 GB the weights fit and a shorter context does it: the hint's number holds.
	if err := m.check(14_700_000_000); !errors.As(err, &mem) || !strings.Contains(mem.Hint(), "max_seq_len=1024 fits (now 2048)") {
		t.Fatalf("%v: %v", err, mem.Hint())
	}
	if err := need(Options{Precision: Exact, MaxSeqLen: 1024}).check(14_700_000_000); err != nil {
		t.Errorf("the remedy does not help: %v", err)
	}
	if err := need(Options{Precision: Exact, MaxSeqLen: 1024 + BlockSize}).check(14_700_000_000); err == nil {
		t.Error("a longer context than the remedy's fits, too")
	}
	if err := m.check(m.Needed()); err != nil {
		t.Errorf("exactly enough: %v", err)
	}
}

// TestNeedFollowsTheBackend: what a backend copies and what it reads in place
// count as they lie, and the remedies tell what other options would take.
func TestNeedFollowsTheBackend(t *testing.T) {
	estimate := func(_ weights.Config, _ func(string) weights.DType, opt BackendOptions) Footprint {
		f := Footprint{Copied: 12e9, InPlace: 1e9, KVBlock: 64 << 20}
		if opt.Precision != Exact {
			f.KVBlock /= 2
		}
		switch opt.Quantize {
		case Int8:
			f.Copied = 6e9
		case Int4:
			f.Copied = 3e9
		}
		return f
	}
	of := func(d weights.DType) func(string) weights.DType { return func(string) weights.DType { return d } }
	need := func(d weights.DType, files bool, missing int64, opt Options) Memory {
		opt.Estimate = estimate
		return NeedMemory(llama7B(), of(d), files, missing, opt)
	}
	for _, tc := range []struct {
		name        string
		got         Memory
		weights, kv int64
	}{
		{"files", need(weights.F16, true, 0, Options{}), 13e9, 1 << 30},
		{"exact", need(weights.F16, true, 0, Options{Precision: Exact}), 13e9, 2 << 30},
		{"int8", need(weights.F16, true, 0, Options{Quantize: Int8}), 7e9, 1 << 30},
		{"in memory", need(weights.F16, false, 0, Options{}), 12e9, 1 << 30},
		{"to be made", need(weights.F16, false, 5e9, Options{}), 17e9, 1 << 30},
	} {
		if tc.got.Weights != tc.weights || tc.got.KV != tc.kv {
			t.Errorf("%s: weights %d, KV %d, want %d and %d", tc.name, tc.got.Weights, tc.got.KV, tc.weights, tc.kv)
		}
	}
	for _, tc := range []struct {
		name string
		m    Memory
		want []string
		not  string
	}{
		{"fast", need(weights.F16, true, 0, Options{}), []string{`7.00 GB (quantize="int8")`, `4.00 GB (quantize="int4")`, "close other"}, "precision"},
		{"exact", need(weights.F16, true, 0, Options{Precision: Exact}), []string{`precision="fast": its KV cache takes 1.07 GB less`, "int4"}, "close"},
		{"int8", need(weights.F16, true, 0, Options{Quantize: Int8}), []string{`quantize="int4", whose weights`}, `"int8"`},
		{"int4", need(weights.F16, true, 0, Options{Quantize: Int4}), []string{"smaller"}, "quantize="},
		{"quantized file", need(weights.Q8_0, true, 0, Options{}), []string{"smaller"}, "quantize="},
	} {
		var mem *MemoryError
		if err := tc.m.check(2e9); !errors.As(err, &mem) || len(mem.Remedies) != 3 {
			t.Fatalf("%s: %v", tc.name, err)
		}
		for _, want := range tc.want {
			if !strings.Contains(mem.Hint(), want) {
				t.Errorf("%s: %q does not tell %q", tc.name, mem.Hint(), want)
			}
		}
		if strings.Contains(mem.Hint(), tc.not) {
			t.Errorf("%s: %q tells %q", tc.name, mem.Hint(), tc.not)
		}
	}
	if err := need(weights.F16, true, 0, Options{Quantize: Int4}).check(2e9); !strings.Contains(err.Error(), "weights 4.00 GB as int4") {
		t.Errorf("%v", err)
	}
}

func TestOpenSourceIsRefusedBeforeAnythingIsMade(t *testing.T) {
	if _, known := availableMemory(); !known {
		t.Skip("this system does not tell its available memory")
	}
	cfg := llama7B()
	cfg.NumHiddenLayers = 1000 // 400 GB
	src := RandomSource(cfg, weights.F16, 0)
	var mem *MemoryError
	if _, err := OpenSource(t.Context(), cfg, src, nil, Options{}); !errors.As(err, &mem) || mem.Needed < 400e9 {
		t.Fatalf("%v", err)
	}
	for name, made := range src.(*randomSource).tensors {
		if made.data != nil {
			t.Fatalf("%s was made", name)
		}
	}
}
