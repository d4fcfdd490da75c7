package engine

import "golang.org/x/sys/unix"

// availableMemory is the machine's physical memory: an upper bound, since the
// free part is not to be had without the Mach interface.
func availableMemory() (int64, bool) {
	n, err := unix.SysctlUint64("hw.memsize")
	return int64(n), err == nil
}
