//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package simd

// Memory is zeroed memory; here it lies on the Go heap.
type Memory struct{ Bytes []byte }

// NewMemory takes n bytes, from an address that is a multiple of 64.
func NewMemory(n int) (*Memory, error) {
	b := make([]byte, n+64)
	skip := int(-uintptr(pointer(b)) % 64)
	return &Memory{b[skip:][:n:n]}, nil
}

// Free lets the garbage collector have it.
func (m *Memory) Free() { *m = Memory{} }
