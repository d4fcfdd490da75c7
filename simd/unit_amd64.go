//go:build amd64 && !purego

package simd

import "github.com/klauspost/cpuid/v2"

// chooseUnit is the best unit for these features: AVX-512, AVX2, pure Go.
func chooseUnit(fs features) *unit { return unitOf(fs, cpuid.CPU.VendorID) }

func unitOf(fs features, vendor cpuid.Vendor) *unit {
	switch {
	case fs.has(featAVX512):
		return avx512Unit(fs, vendor)
	case fs.has(featAVX2):
		return avx2Unit()
	default:
		return pureFor("no AVX2 with FMA and F16C")
	}
}
