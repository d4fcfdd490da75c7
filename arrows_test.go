package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/llama-go/llama-go"

// arrows says what each room may import of ours, beside internal/.
var arrows = map[string][]string{
	"messaging":        {},
	"weights":          {},
	"simd":             {"simd/amx", "simd/avx2", "simd/avx512", "simd/neon", "simd/peak", "simd/pure"},
	"simd/amx":         {},
	"simd/avx2":        {},
	"simd/avx512":      {},
	"simd/neon":        {},
	"simd/peak":        {},
	"simd/pure":        {},
	"simd/reftest":     {"simd/pure"},
	"engine/sched":     {},
	"engine/tokenizer": {},
	"kernelspec":       {},
	"engine":           {"engine/sched", "engine/tokenizer", "weights"},
	"engine/cpu":       {"engine", "engine/sched", "engine/tokenizer", "simd", "simd/amx", "simd/avx2", "simd/avx512", "simd/neon", "simd/peak", "simd/pure", "weights"},
	"kernel/rpc":       {"engine", "engine/sched", "engine/tokenizer", "weights"},
	"kernel":           {"engine", "engine/sched", "engine/tokenizer", "kernel/rpc", "messaging", "weights"},
}

// TestArrows keeps the arrows of the design: who may import whom, over the
// whole dependency closure.
func TestArrows(t *testing.T) {
	for _, pkg := range goList(t, "./...") {
		room := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
		if room == "" {
			continue // the command itself may import all
		}
		internal := strings.HasPrefix(room, "internal/")
		allowed, known := arrows[room]
		if !known && !internal {
			t.Errorf("%s: a room that the arrows do not know", room)
			continue
		}
		for _, dep := range goList(t, "-deps", pkg) {
			name, ours := strings.CutPrefix(dep, module+"/")
			if !ours || name == room || strings.HasPrefix(name, "internal/") {
				continue
			}
			if !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s; it may import %v", room, name, allowed)
			}
		}
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// TestLoadingOpensNoSocket: neither the resident's reader of files nor its
// engine can reach the network, or inflate anything.
func TestLoadingOpensNoSocket(t *testing.T) {
	for _, room := range []string{"weights", "engine/tokenizer", "engine/cpu"} {
		for _, dep := range goList(t, "-deps", module+"/"+room) {
			for _, bad := range []string{"net", "os/exec", "archive/zip", "compress/flate", module + "/internal/store"} {
				if dep == bad {
					t.Errorf("%s imports %s", room, bad)
				}
			}
		}
	}
}

// TestCrossCompile builds the command for the other systems that it names.
func TestCrossCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four times: not with -short")
	}
	for _, target := range []string{"linux/arm64", "darwin/arm64", "darwin/amd64", "windows/amd64"} {
		t.Run(target, func(t *testing.T) {
			goos, arch, _ := strings.Cut(target, "/")
			cmd := exec.Command("go", "build", "-o", t.TempDir(), ".")
			cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
