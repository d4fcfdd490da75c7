//go:build !linux

package weights

// touch brings the pages of data into memory.
func touch(data []byte) { touchPages(data) }
