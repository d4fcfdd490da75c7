package engine

import (
	"fmt"
	"strings"

	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/weights"
)

// Memory is an estimate of the bytes that a model takes once it runs.
type Memory struct {
	Weights   int64 // also mapped pages must fit, or every token reads the disk
	KV        int64 // one row of MaxSeqLen positions: more rows take blocks as they fill
	Workspace int64 // activations and logits of one step, and the process itself

	Mapped    bool // Weights are file-backed
	MaxBatch  int
	MaxSeqLen int
	Precision Precision
	Quantize  Quantize
	KVBlock   int64 // of BlockSize positions

	// What other options would make of it: KV in fast mode, and Weights with
	// each quantization; 0: nothing to gain.
	FastKV, Int8, Int4 int64
}

// processBytes is what a process takes beside a model.
const processBytes = 32 << 20

// NeedMemory estimates what a model needs before anything of it is loaded:
// missing bytes of weights, which are made first, the backend's copies of them,
// and from files also those that it reads where they lie. A session's limits are
// no reservation, so KV counts one row of opt.MaxSeqLen; the rest is checked when
// requests are admitted. Limits that are 0 are the defaults of NewSession; values
// out of range are cut to it. typeOf is as Estimate takes it.
func NeedMemory(cfg weights.Config, typeOf func(name string) weights.DType, files bool, missing int64, opt Options) Memory {
	limit := max(1, cfg.MaxPositionEmbeddings)
	maxSeqLen, maxBatch := opt.MaxSeqLen, opt.MaxBatch
	if maxSeqLen <= 0 {
		maxSeqLen = DefaultMaxSeqLen
	}
	if maxBatch <= 0 {
		maxBatch = DefaultMaxBatch
	}
	m := Memory{
		Precision: opt.Precision, Quantize: opt.Quantize,
		MaxBatch: min(maxBatch, MaxBatch), MaxSeqLen: min(maxSeqLen, limit),
	}
	estimate := opt.Estimate
	if estimate == nil {
		estimate = plainEstimate
	}
	blocks := (int64(m.MaxSeqLen) + BlockSize - 1) / BlockSize
	sizes := func(p Precision, q Quantize) (weights, kv int64, f Footprint) {
		f = estimate(cfg, typeOf, BackendOptions{Precision: p, Quantize: q, Threads: opt.Threads})
		weights = missing + f.Copied
		if files {
			weights += f.InPlace
		}
		return weights, blocks * f.KVBlock, f
	}
	var f Footprint
	m.Weights, m.KV, f = sizes(opt.Precision, opt.Quantize)
	m.KVBlock, m.Mapped = f.KVBlock, files && f.InPlace > f.Copied
	less := func(than, n int64) int64 {
		if n < than {
			return n
		}
		return 0
	}
	if opt.Precision == Exact {
		_, kv, _ := sizes(Fast, opt.Quantize)
		m.FastKV = less(m.KV, kv)
	}
	if opt.Quantize == NoQuantize && Int8.checkTypes(cfg, typeOf) == nil {
		int8s, _, _ := sizes(opt.Precision, Int8)
		int4s, _, _ := sizes(opt.Precision, Int4)
		m.Int8, m.Int4 = less(m.Weights, int8s), less(m.Weights, int4s)
	}
	width := 4*cfg.HiddenSize + 3*cfg.IntermediateSize + 2*(cfg.NumAttentionHeads+cfg.NumKeyValueHeads)*cfg.HeadDim + cfg.VocabSize
	m.Workspace = processBytes + int64(max(maxChunk, m.MaxBatch))*int64(width)*4
	return m
}

// plainEstimate is of a backend that copies weights as they are and keeps
// float32 keys and values.
func plainEstimate(cfg weights.Config, typeOf func(name string) weights.DType, _ BackendOptions) Footprint {
	f := Footprint{KVBlock: BlockSize * 2 * 4 * int64(cfg.NumHiddenLayers) * int64(cfg.NumKeyValueHeads) * int64(cfg.HeadDim)}
	for _, t := range weights.TensorShapes(cfg) {
		if d := typeOf(t.Name); d != 0 {
			n, _ := checked.Product(dims(t.Shape)...).Div(checked.Of(int64(d.BlockSize()))).Mul(checked.Of(int64(d.BlockBytes()))).Int64()
			f.Copied += n
		}
	}
	return f
}

// dims is a shape in 64 bits.
func dims(shape []int) []int64 {
	all := make([]int64, len(shape))
	for i, d := range shape {
		all[i] = int64(d)
	}
	return all
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
	switch {
	case m.Mapped:
		kind = ", mapped from the file"
	case m.Quantize != NoQuantize:
		kind = " as " + string(m.Quantize)
	}
	return &MemoryError{
		What: "the model", Needed: m.Needed(), Available: available,
		Detail: fmt.Sprintf("weights %s%s; KV cache of one row of %d tokens %s; workspace %s",
			units.Bytes(m.Weights), kind, m.MaxSeqLen, units.Bytes(m.KV), units.Bytes(m.Workspace)),
		Remedies: m.remedies(available),
	}
}

// remedies names a shorter context, a smaller KV or fewer models, and smaller
// weights, each with what it gives.
func (m Memory) remedies(available int64) []string {
	var r []string
	switch left := available - m.Weights - m.Workspace; {
	case m.KVBlock > 0 && left >= m.KVBlock:
		fits := left / m.KVBlock * BlockSize
		r = append(r, fmt.Sprintf("use a shorter context: max_seq_len=%d fits (now %d)", min(fits, int64(m.MaxSeqLen)), m.MaxSeqLen))
	default:
		r = append(r, fmt.Sprintf("a shorter context saves up to %s, which is not enough alone", units.Bytes(m.KV)))
	}
	if m.FastKV > 0 {
		r = append(r, fmt.Sprintf(`use precision="fast": its KV cache takes %s less`, units.Bytes(m.KV-m.FastKV)))
	} else {
		r = append(r, "close other models and programs (llama-go ps, llama-go stop)")
	}
	switch {
	case m.Int4 > 0 && m.Int8 > 0:
		r = append(r, fmt.Sprintf(`quantize the weights, which then take %s (quantize="int8") or %s (quantize="int4"), or use a smaller model`,
			units.Bytes(m.Int8), units.Bytes(m.Int4)))
	case m.Quantize == Int8:
		r = append(r, `use quantize="int4", whose weights take about half, or a smaller model`)
	default:
		r = append(r, "use a smaller or a quantized model: 4-bit weights take about a quarter of 16-bit ones")
	}
	return r
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
		e.What, units.Bytes(e.Needed), e.Needed, units.Bytes(e.Available), e.Available)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Kind is "not_enough_memory".
func (e *MemoryError) Kind() string { return "not_enough_memory" }

// Hint lists the remedies.
func (e *MemoryError) Hint() string { return strings.Join(e.Remedies, "; ") }

// AvailableMemory is what this process may still take in bytes, control groups
// counted, and whether that is known on this system.
func AvailableMemory() (int64, bool) { return availableMemory() }
