//go:build !(amd64 || arm64) || purego

package simd

// unitLimits has no loops for this processor.
func unitLimits(features) []Limit { return nil }
