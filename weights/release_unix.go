//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package weights

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Release says that data, of a tensor of this checkpoint, will not be read soon:
// its pages leave this process, not the system's cache. Reading them again is
// right, and slower once. Memory that is no file of this checkpoint is left
// alone.
func (c *Checkpoint) Release(data []byte) {
	if len(data) == 0 || c.maps == nil {
		return
	}
	at := uintptr(unsafe.Pointer(&data[0]))
	for _, one := range c.maps.list {
		start := uintptr(unsafe.Pointer(&one.data[0]))
		if at < start || at+uintptr(len(data)) > start+uintptr(len(one.data)) {
			continue
		}
		// Whole pages only: the first and the last hold other tensors too.
		page := uintptr(os.Getpagesize())
		lo := (at - start + page - 1) / page * page
		hi := (at - start + uintptr(len(data))) / page * page
		if lo < hi {
			// Advice: no error matters. The mapping is shared and read-only, so that
			// every system takes its bytes from the file again.
			_ = unix.Madvise(one.data[lo:hi], unix.MADV_DONTNEED)
		}
		return
	}
}
