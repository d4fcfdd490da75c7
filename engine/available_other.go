//go:build !linux && !darwin

package engine

// availableMemory is not known here.
func availableMemory() (int64, bool) { return 0, false }
