package weights

import "golang.org/x/sys/unix"

// touch brings the pages of data into memory: in one call where the kernel has
// MADV_POPULATE_READ (Linux 5.14), else by reading them. data starts at a page.
func touch(data []byte) {
	if unix.Madvise(data, unix.MADV_POPULATE_READ) != nil {
		touchPages(data)
	}
}
