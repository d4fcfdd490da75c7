//go:build linux && !arm64

package simd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// passed are the lines of tests that are well.
var passed = regexp.MustCompile(`(?m)^(=== .*|\s*--- PASS.*)\n`)

// The tests of the arm64 units pass in an emulated processor, with and without
// dot products, and so do those of the pure unit, whose bits are the same
// everywhere.
func TestEmulatedARM64(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates four test programs: not with -short")
	}
	qemu, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		t.Skip("no qemu-aarch64 on PATH (Debian: qemu-user)")
	}
	for _, c := range []struct{ dir, cpu, run string }{
		{"../simd/neon", "max", ""},
		{"../simd/neon", "cortex-a72", ""},
		{"../simd", "max", ""},
		{"../simd", "cortex-a72", "Mul|Panel|Attend|Limits|Describe"},
		{"../simd/pure", "max", ""},
	} {
		t.Run(filepath.Base(c.dir)+"/"+c.cpu, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "tests")
			build := exec.Command("go", "test", "-c", "-o", program, c.dir)
			build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			test := exec.Command(qemu, "-cpu", c.cpu, program, "-test.short", "-test.v", "-test.run", c.run, "-test.skip", "Generated|Encodings")
			test.Dir = c.dir
			out, err := test.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS") {
				t.Fatalf("%v\n%s", err, passed.ReplaceAll(out, nil))
			}
			t.Logf("%d tests passed, %d skipped", strings.Count(string(out), "\n--- PASS"), strings.Count(string(out), "\n--- SKIP"))
		})
	}
}
