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
	m := NeedMemory(llama7B(), src.WeightBytes(), false, Exact, 0, 0)
	if m.MaxBatch != 32 || m.MaxSeqLen != 2048 || m.PerToken != 1<<20 || m.KV != 2<<30 {
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
	if err := NeedMemory(llama7B(), src.WeightBytes(), false, Exact, 0, 1024).check(14_700_000_000); err != nil {
		t.Errorf("the remedy does not help: %v", err)
	}
	if err := NeedMemory(llama7B(), src.WeightBytes(), false, Exact, 0, 1024+BlockSize).check(14_700_000_000); err == nil {
		t.Error("a longer context than the remedy's fits, too")
	}
	if err := m.check(m.Needed()); err != nil {
		t.Errorf("exactly enough: %v", err)
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
