//go:build amd64 && !purego

package simd

// pause waits some 100 cycles and leaves the core's units to its other thread.
func pause()
