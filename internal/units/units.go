// Package units writes quantities as people read them, in the same way
// everywhere.
package units

import "fmt"

// Bytes writes a size in powers of 1000: 512 B, 98.4 MB, 13.48 GB. The library's
// size() is its twin.
func Bytes(n int64) string {
	switch f := float64(n); {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", f/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", f/1e6)
	default:
		return fmt.Sprintf("%.2f GB", f/1e9)
	}
}

// Rate is tokens a second; 0 when no time is known.
func Rate(tokens int, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(tokens) / seconds
}
