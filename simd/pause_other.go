//go:build !amd64 || purego

package simd

// pause has no instruction to wait with.
func pause() {}
