//go:build linux && amd64

package cpu_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/simd"
)

// The NEON unit gives the logits of the AVX2 unit, bit for bit, in both modes:
// the same program in an emulated processor, with and without dot products.
func TestEmulatedUnitAgrees(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("builds and emulates a test program: not with -short or -race")
	}
	if !strings.Contains(simd.Describe(), "AVX") {
		t.Skip("neither AVX2 nor AVX-512")
	}
	qemu, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		t.Skip("no qemu-aarch64 on PATH (Debian: qemu-user)")
	}
	program := filepath.Join(t.TempDir(), "tests")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	logits := func(which, disable string, command ...string) []byte {
		cmd := exec.Command(command[0], append(command[1:], "-test.run=^TestUnitsAgree$", "-test.v", "-test.short")...)
		cmd.Env = append(os.Environ(), unitLogits+"="+which, simd.DisableEnv+"="+disable)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
		return logitLines(out)
	}
	for which, cpu := range map[string]string{"neon": "max", "mull": "cortex-a72"} {
		want, got := logits(which, "avx512", os.Args[0]), logits(which, "", qemu, "-cpu", cpu, program)
		if len(got) == 0 || !bytes.Equal(got, want) {
			t.Errorf("by NEON of %s:\n%s\nby AVX2:\n%s", cpu, got, want)
		}
	}
}
