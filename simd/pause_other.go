//go:build !(amd64 || arm64) || purego

package simd

// pause has no instruction to wait with.
func pause() {}
