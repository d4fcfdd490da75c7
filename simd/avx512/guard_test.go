//go:build amd64 && linux && !purego

package avx512

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded returns n elements that end where a page begins that cannot be
// touched; the page before them cannot be touched either.
func guarded[T any](t testing.TB, n int) []T {
	t.Helper()
	const page = 4096
	var e T
	size := n * int(unsafe.Sizeof(e))
	inside := (size + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, inside+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	for _, edge := range [][]byte{m[:page], m[page+inside:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&m[page+inside-size])), n)
}
