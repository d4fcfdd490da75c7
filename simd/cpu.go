package simd

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// DisableEnv names the environment variable that switches features off before
// a unit is chosen: a list like "avx512,vnni", or "all".
const DisableEnv = "LLAMA_GO_DISABLE"

// A feature is what a unit may need of the processor.
type feature string

const (
	featAVX2     feature = "avx2" // with FMA and F16C
	featAVX512   feature = "avx512"
	featVNNI     feature = "vnni"
	featAVX5BF16 feature = "bf16"
	featAMX      feature = "amx"
	featNEON     feature = "neon"
)

var allFeatures = []feature{featAVX2, featAVX512, featVNNI, featAVX5BF16, featAMX, featNEON}

// features are what a processor has, or what is left of it.
type features []feature

func (fs features) has(f feature) bool { return slices.Contains(fs, f) }

// usable are the features of this processor that DisableEnv leaves.
func usable() features {
	left, _ := without(detect(), os.Getenv(DisableEnv))
	return left
}

// detect asks the processor.
func detect() features {
	c := &cpuid.CPU
	var fs features
	for _, f := range []struct {
		name feature
		has  bool
	}{
		{featAVX2, c.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C)},
		{featAVX512, c.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL)},
		{featVNNI, c.Supports(cpuid.AVX512F, cpuid.AVX512VNNI)},
		{featAVX5BF16, c.Supports(cpuid.AVX512F, cpuid.AVX512BF16)},
		{featAMX, c.Supports(cpuid.AMXTILE, cpuid.AMXINT8, cpuid.AMXBF16)},
		{featNEON, c.Supports(cpuid.ASIMD)},
	} {
		if f.has {
			fs = append(fs, f.name)
		}
	}
	return fs
}

// without removes the features that a DisableEnv value names; unknown are the
// names that mean nothing here.
func without(fs features, disable string) (left features, unknown []string) {
	left = slices.Clone(fs)
	for _, name := range strings.Split(disable, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case name == "":
		case name == "all":
			left = nil
		case slices.Contains(allFeatures, feature(name)):
			left = slices.DeleteFunc(left, func(f feature) bool {
				// The 512-bit extensions go with their base.
				return f == feature(name) || feature(name) == featAVX512 && (f == featVNNI || f == featAVX5BF16)
			})
		default:
			unknown = append(unknown, name)
		}
	}
	return left, unknown
}

// Describe says in one line which processor this is, what it offers and which
// unit computes.
func Describe() string {
	return describe(cpuid.CPU.BrandName, detect(), os.Getenv(DisableEnv))
}

func describe(brand string, has features, disable string) string {
	left, unknown := without(has, disable)
	var b strings.Builder
	if brand = strings.TrimSpace(brand); brand == "" {
		brand = "unnamed processor"
	}
	fmt.Fprintf(&b, "%s (%s): %s unit", brand, runtime.GOARCH, chooseUnit(left).name)
	if len(left) > 0 {
		names := make([]string, len(left))
		for i, f := range left {
			names[i] = string(f)
		}
		fmt.Fprintf(&b, "; features %s", strings.Join(names, " "))
	}
	if off := len(has) - len(left); off > 0 {
		fmt.Fprintf(&b, "; %d features off by %s", off, DisableEnv)
	}
	if len(unknown) > 0 {
		fmt.Fprintf(&b, "; %s names unknown features: %s", DisableEnv, strings.Join(unknown, " "))
	}
	return b.String()
}

// Describe says for each weight type what multiplies it, and what attention
// reads: types of the same kernel together.
func (p *Plan) Describe() string {
	var order []string
	types := map[string][]string{}
	for t := range numTypes {
		what := "plain dot products, float32 activations"
		if k := p.kernels[t]; k != nil {
			what = k.what
		}
		if types[what] == nil {
			order = append(order, what)
		}
		types[what] = append(types[what], t.String())
	}
	var parts []string
	for _, what := range order {
		parts = append(parts, strings.Join(types[what], " ")+" by "+what)
	}
	kv := "KV in float32"
	if p.kv != nil && p.kv.half {
		kv = "KV in binary16"
	}
	return strings.Join(append(append(parts, kv), p.why...), "; ")
}
