//go:build amd64 && !purego

package simd

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// What multiplies in fast mode on some processors.
func TestKernelsOfProcessors(t *testing.T) {
	avx512 := features{featAVX2, featAVX512}
	for _, c := range []struct {
		processor string
		vendor    cpuid.Vendor
		features  features
		unit      string
		want      map[Type]string // where kernels' what begins; the types that are not named are quantized
		quantized string
		own       string
	}{
		{"Zen 4", cpuid.AMD, append(avx512, featVNNI, featAVX5BF16), "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "VDPBF16PS"}, "VNNI", "VNNI"},
		{"Sapphire Rapids", cpuid.Intel, append(avx512, featVNNI, featAVX5BF16, featAMX), "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "AMX"}, "VNNI", "AMX for many rows, VNNI for few"},
		{"Sapphire Rapids, tiles refused", cpuid.Intel, append(avx512, featVNNI, featAVX5BF16), "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "FMA"}, "VNNI", "VNNI"},
		{"Sapphire Rapids without bf16", cpuid.Intel, append(avx512, featVNNI, featAMX), "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "FMA"}, "VNNI", "AMX for many rows, VNNI for few"},
		{"AMD with tiles", cpuid.AMD, append(avx512, featVNNI, featAVX5BF16, featAMX), "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "VDPBF16PS"}, "VNNI", "VNNI"},
		{"Ice Lake Xeon", cpuid.Intel, append(avx512, featVNNI), "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "FMA"}, "VNNI", "VNNI"},
		{"Skylake Xeon", cpuid.Intel, avx512, "AVX-512",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "FMA"}, "FMA", "FMA"},
		{"Alder Lake, Haswell", cpuid.Intel, features{featAVX2}, "AVX2",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "FMA"}, "VPMADDUBSW", "VPMADDUBSW"},
		{"Zen 2", cpuid.AMD, features{featAVX2}, "AVX2",
			map[Type]string{F32: "FMA", F16: "FMA", BF16: "FMA"}, "VPMADDUBSW", "VPMADDUBSW"},
		{"none", cpuid.Intel, nil, "pure Go", nil, "", ""},
	} {
		t.Run(c.processor, func(t *testing.T) {
			u := unitOf(c.features, c.vendor)
			if u.name != c.unit {
				t.Fatalf("unit %s, want %s", u.name, c.unit)
			}
			if u.plan == nil {
				if c.quantized != "" {
					t.Fatal("no plan")
				}
				return
			}
			fast, exact := u.plan(true), u.plan(false)
			for typ := range numTypes {
				want, ok := c.want[typ]
				switch {
				case typ.own():
					want = c.own
				case !ok:
					want = c.quantized
				}
				if got := fast.kernels[typ]; got == nil || !strings.HasPrefix(got.what, want) {
					t.Errorf("%v by %+v, want %s", typ, got, want)
				} else if tiles := strings.HasPrefix(want, "AMX"); tiles != (got.tiles != nil) {
					t.Errorf("%v by %s: tiles are %t", typ, got.what, got.tiles != nil)
				}
				if got := exact.kernels[typ]; got == nil || !strings.HasPrefix(got.what, "FMA") || got.tiles != nil {
					t.Errorf("exact %v by %+v", typ, got)
				}
			}
		})
	}
}

// Products by tiles have the bits of those without, of every type but BF16.
func TestTilesAgreeWithVNNI(t *testing.T) {
	has := usable()
	if !has.has(featAMX) {
		t.Skip("no AMX: ", amxError())
	}
	defer func(u *unit) { active = u }(active)
	for _, typ := range []Type{I8, I4, Q8_0} {
		for _, n := range []int{1, 31, 50, 66} {
			r := rand.New(rand.NewPCG(uint64(typ), uint64(n)))
			const rows, cols = 53, 420 / 32 * 32
			m := randomMatrix(t, r, typ, rows, cols, 0)
			var results [2][]float32
			for i, fs := range []features{{featAVX2, featAVX512, featVNNI, featAVX5BF16, featAMX}, {featAVX2, featAVX512, featVNNI}} {
				active = unitOf(fs, cpuid.Intel)
				twin := packed(t, NewPlan(true), &m)
				x := randomRows(rand.New(rand.NewPCG(uint64(n), 46)), cols, n, &twin)
				results[i] = make([]float32, n*rows)
				twin.MulRows(results[i], rows, 0, rows, &x, n, make([]float32, twin.Scratch()))
			}
			for i, got := range results[0] {
				if want := results[1][i]; math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("%v, %d rows: element %d is %v, by VNNI %v", typ, n, i, got, want)
				}
			}
		}
	}
}
