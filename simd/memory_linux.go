package simd

import "golang.org/x/sys/unix"

// bigPage is the size of the larger pages that the kernel may use.
const bigPage = 2 << 20

// adviseBigPages asks for them. Refused where the system has no big pages: then
// there are small ones.
func adviseBigPages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
