//go:build !(amd64 || arm64) || purego

package simd

// chooseUnit has no choice.
func chooseUnit(features) *unit { return pureFor("the only one in this build") }
