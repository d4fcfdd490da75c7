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
// a unit is chosen: a list like "vnni,amx", or "all". What builds on a feature
// goes with it: without "avx512" there is no vnni, bf16 and amx, and without
// "avx2" none of these and no avx512; without "neon" there is no dotprod and
// i8mm, and without "dotprod" no i8mm.
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
	featDotProd  feature = "dotprod"
	featI8MM     feature = "i8mm"
)

var allFeatures = []feature{featAVX2, featAVX512, featVNNI, featAVX5BF16, featAMX, featNEON, featDotProd, featI8MM}

// bases are the features that others build on: AVX-512 kernels use
// instructions of AVX2, and AMX kernels replace some of an AVX-512 unit.
var bases = map[feature]feature{
	featAVX512: featAVX2, featVNNI: featAVX512, featAVX5BF16: featAVX512, featAMX: featAVX512,
	featDotProd: featNEON, featI8MM: featDotProd,
}

// features are what a processor has, or what is left of it.
type features []feature

func (fs features) has(f feature) bool { return slices.Contains(fs, f) }

func (fs features) String() string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = string(f)
	}
	return strings.Join(names, " ")
}

// buildsOn tells whether f is base or goes with it.
func (f feature) buildsOn(base feature) bool {
	for f != base {
		next, builds := bases[f]
		if !builds {
			return false
		}
		f = next
	}
	return true
}

// usable are the features of this processor that DisableEnv leaves.
func usable() features {
	left, _ := without(detect(), os.Getenv(DisableEnv))
	return left
}

// detect asks the processor, on arm64 the system: Linux by its HWCAP bits, macOS
// by sysctl (hw.optional.arm); elsewhere dotprod and i8mm count as missing. A
// feature whose base is missing is no use.
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
		{featAMX, hasAMX()},
		{featNEON, runtime.GOARCH == "arm64"}, // Go itself needs it there
		{featDotProd, c.Supports(cpuid.ASIMDDP)},
		{featI8MM, c.Supports(cpuid.I8MM)},
	} {
		if base, builds := bases[f.name]; f.has && (!builds || fs.has(base)) {
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
			left = slices.DeleteFunc(left, func(f feature) bool { return f.buildsOn(feature(name)) })
		default:
			unknown = append(unknown, name)
		}
	}
	return left, unknown
}

// Describe says in one line which processor this is, what it offers and which
// unit computes.
func Describe() string {
	text := describe(cpuid.CPU.BrandName, detect(), os.Getenv(DisableEnv))
	if why := amxError(); why != "" {
		text += "; no amx: " + why
	}
	return text
}

func describe(brand string, has features, disable string) string {
	left, unknown := without(has, disable)
	var b strings.Builder
	if brand = strings.TrimSpace(brand); brand == "" {
		brand = "unnamed processor"
	}
	u := chooseUnit(left)
	fmt.Fprintf(&b, "%s (%s): %s unit", brand, runtime.GOARCH, u.name)
	if u.why != "" {
		fmt.Fprintf(&b, " (%s)", u.why)
	}
	if len(left) > 0 {
		fmt.Fprintf(&b, "; features %s", left)
	}
	if off := slices.DeleteFunc(slices.Clone(has), left.has); len(off) > 0 {
		fmt.Fprintf(&b, "; %s off by %s", off, DisableEnv)
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
