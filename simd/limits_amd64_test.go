//go:build amd64 && !purego

package simd

import (
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// Of every set of features, the plans' kernels name limits that it has.
func TestLimitsOfFeatures(t *testing.T) {
	all := features{featAVX2, featAVX512, featVNNI, featAVX5BF16, featAMX}
	for n := 1; n <= len(all); n++ {
		fs := all[:n]
		var names []string
		for _, l := range unitLimits(fs) {
			names = append(names, l.Name)
		}
		for _, vendor := range []cpuid.Vendor{cpuid.Intel, cpuid.AMD} {
			for _, fast := range []bool{false, true} {
				p := avx2Plan(fast)
				if fs.has(featAVX512) {
					p = avx512Plan(fs, vendor, fast)
				}
				for typ := range numTypes {
					if l := p.Limit(typ); !slices.Contains(names, l) {
						t.Errorf("%v, %v, fast=%v: %v is multiplied by %q, limits are %q", fs, vendor, fast, typ, l, names)
					}
				}
			}
		}
	}
	p := avx512Plan(all, cpuid.Intel, true)
	if bf16, own := p.Limit(BF16), p.Limit(I8); bf16 != limitAMXPairs || own != limitAMXBytes {
		t.Errorf("with AMX the limits of BF16 and I8 are %q and %q", bf16, own)
	}
}
