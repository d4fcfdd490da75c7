//go:build arm64 && !purego

package simd

import "github.com/llama-go/llama-go/simd/peak"

// unitLimits are the loops for these features. Names begin what kernels say of
// themselves.
func unitLimits(fs features) []Limit {
	var all []Limit
	add := func(name, unit string, l peak.Loop) { all = append(all, Limit{name, unit, l.Run, float64(l.Ops)}) }
	if !fs.has(featNEON) {
		return nil
	}
	add("FMA", "GF/s", peak.FMANEON)
	if fs.has(featDotProd) {
		add("SDOT", "Gop/s", peak.SDOT)
	} else {
		add("SMULL", "Gop/s", peak.SMULL)
	}
	if fs.has(featI8MM) {
		add("USDOT", "Gop/s", peak.USDOT)
	}
	return all
}
