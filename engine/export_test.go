package engine

// SetChunk sets how many prompt positions one step computes. No request runs.
func SetChunk(e *Engine, n int) { e.chunk = n }
