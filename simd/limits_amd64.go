//go:build amd64 && !purego

package simd

import "github.com/llama-go/llama-go/simd/peak"

// unitLimits are the loops for these features. Names begin what kernels say of
// themselves.
func unitLimits(fs features) []Limit {
	var all []Limit
	add := func(name, unit string, l peak.Loop) { all = append(all, Limit{name, unit, l.Run, float64(l.Ops)}) }
	switch {
	case fs.has(featAVX512):
		add("FMA", "GF/s", peak.FMA512)
	case fs.has(featAVX2):
		add("FMA", "GF/s", peak.FMA256)
		add("VPMADDUBSW", "Gop/s", peak.Bytes256)
	}
	if fs.has(featAVX5BF16) {
		add("VDPBF16PS", "GF/s", peak.Pairs512)
	}
	if fs.has(featVNNI) {
		add("VNNI", "Gop/s", peak.Bytes512)
	}
	if fs.has(featAMX) {
		add(limitAMXPairs, "GF/s", peak.AMXPairs)
		add(limitAMXBytes, "Gop/s", peak.AMXBytes)
	}
	return all
}
