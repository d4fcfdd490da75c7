package simd

import (
	"slices"
	"strings"
	"testing"
)

func TestDisable(t *testing.T) {
	all := features{featAVX2, featAVX512, featVNNI, featAVX5BF16, featAMX}
	for _, c := range []struct {
		value   string
		left    features
		unknown []string
	}{
		{"", all, nil},
		{"avx512", features{featAVX2}, nil},
		{" VNNI , bf16,", features{featAVX2, featAVX512, featAMX}, nil},
		{"amx", features{featAVX2, featAVX512, featVNNI, featAVX5BF16}, nil},
		{"avx2", nil, nil},
		{"all", nil, nil},
		{"all,avx2", nil, nil},
		{"sse9,avx512", features{featAVX2}, []string{"sse9"}},
	} {
		left, unknown := without(all, c.value)
		if !slices.Equal(left, c.left) || !slices.Equal(unknown, c.unknown) {
			t.Errorf("%q leaves %v, unknown %v; want %v, %v", c.value, left, unknown, c.left, c.unknown)
		}
	}
}

func TestDescribe(t *testing.T) {
	got := describe("Some CPU @ 3 GHz", features{featAVX2, featAVX512, featVNNI}, "avx512,foo")
	for _, want := range []string{"Some CPU @ 3 GHz", "features avx2;", "avx512 vnni off by LLAMA_GO_DISABLE", "foo"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	t.Log(Describe())
}
