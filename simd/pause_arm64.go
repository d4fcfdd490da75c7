//go:build arm64 && !purego

package simd

// pause waits some 100 cycles. ISB does, where YIELD is nothing on most cores.
func pause()
