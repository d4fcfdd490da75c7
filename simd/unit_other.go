//go:build !amd64 || purego

package simd

// chooseUnit has no choice.
func chooseUnit(features) *unit { return &pureUnit }
