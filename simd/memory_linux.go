package simd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// bigPage is the size of the larger pages that the kernel may use.
const bigPage = 2 << 20

// Memory is zeroed memory off the Go heap, in big pages where the system has
// them: reading weights at full speed wants few pages. Nothing frees it but
// Free.
type Memory struct {
	Bytes   []byte
	mapping []byte
}

// NewMemory takes n bytes, which begin at a big page's start. They become real
// when they are first written.
func NewMemory(n int) (*Memory, error) {
	if n == 0 {
		return &Memory{}, nil
	}
	mapping, err := unix.Mmap(-1, 0, n+bigPage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("simd: %d bytes of memory: %w", n, err)
	}
	skip := int(-uintptr(pointer(mapping)) % bigPage)
	m := &Memory{mapping[skip:][:n:n], mapping}
	// Refused where the system has no big pages: then there are small ones.
	_ = unix.Madvise(m.Bytes, unix.MADV_HUGEPAGE)
	return m, nil
}

// Free gives the memory back. Nothing may read it any more.
func (m *Memory) Free() {
	if m.mapping != nil {
		_ = unix.Munmap(m.mapping) // fails only for what is no mapping
	}
	*m = Memory{}
}
