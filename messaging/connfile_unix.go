//go:build unix

package messaging

import (
	"io/fs"
	"syscall"
)

// fileOwner is the uid of a file's owner.
func fileOwner(st fs.FileInfo) (int, bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
