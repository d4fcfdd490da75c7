package reftest

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Guarded returns n zero elements that end where a page begins that cannot be
// touched; the page before theirs cannot be touched either, and the test fails
// when something between that and them has changed at its end.
func Guarded[T any](t testing.TB, n int) []T {
	t.Helper()
	page := os.Getpagesize()
	var e T
	size := n * int(unsafe.Sizeof(e))
	inside := (size + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, inside+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	before := m[page : page+inside-size]
	canary := bytes.Repeat([]byte{0xa5}, len(before))
	copy(before, canary)
	t.Cleanup(func() {
		if !bytes.Equal(before, canary) {
			t.Errorf("%d elements of %T: something is written before them", n, e)
		}
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
