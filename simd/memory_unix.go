//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package simd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Memory is zeroed memory off the Go heap, in big pages where the system has
// them: reading weights at full speed wants few pages. Nothing frees it but
// Free.
type Memory struct {
	Bytes   []byte
	mapping []byte
}

// NewMemory takes n bytes, which begin where a big page may. They become real
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
	adviseBigPages(m.Bytes)
	return m, nil
}

// Free gives the memory back. Nothing may read it any more.
func (m *Memory) Free() {
	if m.mapping != nil {
		_ = unix.Munmap(m.mapping) // fails only for what is no mapping
	}
	*m = Memory{}
}
