//go:build !linux

package kernel

import "runtime"

// rssBytes is what the Go runtime holds: mapped weights are not in it.
func rssBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
