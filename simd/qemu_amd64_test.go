//go:build linux && !purego

package simd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The AVX2 unit needs no more than a processor of 2013 has: its tests pass in an
// emulated one, which faults wherever a tail reads beyond its slice.
func TestEmulatedAVX2(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates two test programs: not with -short")
	}
	qemu, err := exec.LookPath("qemu-x86_64")
	if err != nil {
		t.Skip("no qemu-x86_64 on PATH (Debian: qemu-user)")
	}
	for _, c := range []struct{ dir, run, want string }{
		{"avx2", "Vectors|TestTiles/(F16|ExactQ4_0|Int8Q4_0|Int8Q6_K|Int8I4)", "--- PASS: TestTiles/Int8Q6_K"},
		{".", "Describe|MulPanels", "AVX2 unit (no AVX-512); features avx2"},
	} {
		program := filepath.Join(t.TempDir(), "tests")
		if out, err := exec.Command("go", "test", "-c", "-o", program, "./"+c.dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		test := exec.Command(qemu, "-cpu", "Haswell", program, "-test.short", "-test.v", "-test.run", c.run)
		test.Dir = c.dir
		test.Env = append(os.Environ(), DisableEnv+"=")
		out, err := test.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Fatalf("%s: %v\n%s", c.dir, err, passed.ReplaceAll(out, nil))
		}
	}
}
