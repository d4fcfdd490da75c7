package engine

import (
	"fmt"
	"strings"

	"github.com/llama-go/llama-go/weights"
)

// Memory is an estimate of the bytes that a model takes once it runs.
type Memory struct {
	Weights   int64 // stored size; also mapped pages must fit, or every token reads the disk
	KV        int64 // one row of MaxSeqLen positions: more rows take blocks as they fill
	Workspace int64 // activations and logits of one step, and the process itself

	Mapped    bool // Weights are file-backed
	MaxBatch  int
	MaxSeqLen int
	Precision Precision
	PerToken  int64 // KV bytes of one position
}

// processBytes is what a process takes beside a model.
const processBytes = 32 << 20

// NeedMemory estimates what a model needs before anything of it is loaded. A
// session's limits are no reservation, so KV counts one row of maxSeqLen; the
// rest is checked when requests are admitted. maxBatch and maxSeqLen 0 are the
// defaults of NewSession; values out of range are cut to it.
func NeedMemory(cfg weights.Config, weightBytes int64, mapped bool, p Precision, maxBatch, maxSeqLen int) Memory {
	limit := max(1, cfg.MaxPositionEmbeddings)
	if maxSeqLen <= 0 {
		maxSeqLen = DefaultMaxSeqLen
	}
	if maxBatch <= 0 {
		maxBatch = DefaultMaxBatch
	}
	m := Memory{
		Weights: weightBytes, Mapped: mapped, Precision: p,
		MaxBatch: min(maxBatch, MaxBatch), MaxSeqLen: min(maxSeqLen, limit),
		PerToken: kvBytesPerToken(cfg),
	}
	blocks := (int64(m.MaxSeqLen) + BlockSize - 1) / BlockSize
	m.KV = blocks * BlockSize * m.PerToken
	width := 4*cfg.HiddenSize + 3*cfg.IntermediateSize + 2*(cfg.NumAttentionHeads+cfg.NumKeyValueHeads)*cfg.HeadDim + cfg.VocabSize
	m.Workspace = processBytes + int64(max(maxChunk, m.MaxBatch))*int64(width)*4
	return m
}

// kvBytesPerToken is the float32 size of one position's keys and values. Fast
// mode may take half of it.
func kvBytesPerToken(cfg weights.Config) int64 {
	return 2 * 4 * int64(cfg.NumHiddenLayers) * int64(cfg.NumKeyValueHeads) * int64(cfg.HeadDim)
}

// Needed is the sum.
func (m Memory) Needed() int64 { return m.Weights + m.KV + m.Workspace }

// CheckMemory returns a *MemoryError when m exceeds what this process may still
// take: the least of the machine's available memory and of its control groups'
// limits. Where that cannot be found out, nothing is refused.
func CheckMemory(m Memory) error {
	available, known := availableMemory()
	if !known {
		return nil
	}
	return m.check(available)
}

func (m Memory) check(available int64) error {
	if m.Needed() <= available {
		return nil
	}
	kind := ""
	if m.Mapped {
		kind = ", mapped from the file"
	}
	return &MemoryError{
		What: "the model", Needed: m.Needed(), Available: available,
		Detail: fmt.Sprintf("weights %s%s; KV cache of one row of %d tokens %s; workspace %s",
			gigabytes(m.Weights), kind, m.MaxSeqLen, gigabytes(m.KV), gigabytes(m.Workspace)),
		Remedies: m.remedies(available),
	}
}

// remedies names a shorter context, a smaller KV or fewer models, and smaller
// weights, each with what it gives.
func (m Memory) remedies(available int64) []string {
	var r []string
	switch left := available - m.Weights - m.Workspace; {
	case left >= BlockSize*m.PerToken && m.PerToken > 0:
		fits := left / (BlockSize * m.PerToken) * BlockSize
		r = append(r, fmt.Sprintf("use a shorter context: max_seq_len=%d fits (now %d)", min(fits, int64(m.MaxSeqLen)), m.MaxSeqLen))
	default:
		r = append(r, fmt.Sprintf("a shorter context saves up to %s, which is not enough alone", gigabytes(m.KV)))
	}
	if m.Precision == Exact {
		r = append(r, fmt.Sprintf(`use precision="fast": where its KV cache is 16-bit it saves %s`, gigabytes(m.KV/2)))
	} else {
		r = append(r, "close other models and programs (llama-go ps, llama-go stop)")
	}
	return append(r, "use a smaller or a quantized model: 4-bit weights take about a quarter of 16-bit ones")
}

// MemoryError refuses what would not fit.
type MemoryError struct {
	What              string // what needs it
	Detail            string // what it is made of, or ""
	Needed, Available int64  // bytes
	Remedies          []string
}

func (e *MemoryError) Error() string {
	s := fmt.Sprintf("%s needs %s (%d bytes), available are %s (%d bytes)",
		e.What, gigabytes(e.Needed), e.Needed, gigabytes(e.Available), e.Available)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Kind is "not_enough_memory".
func (e *MemoryError) Kind() string { return "not_enough_memory" }

// Hint lists the remedies.
func (e *MemoryError) Hint() string { return strings.Join(e.Remedies, "; ") }

// gigabytes prints bytes in decimal units.
func gigabytes(n int64) string {
	if n < 100_000_000 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// AvailableMemory is what this process may still take in bytes, control groups
// counted, and whether that is known on this system.
func AvailableMemory() (int64, bool) { return availableMemory() }
