package pure

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The compiler fuses a product and a sum on arm64 unless the product is
// wrapped in float32(): the assembly of this package for arm64 must hold
// products and no fused ones.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for arm64: not with -short")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go command: %v", err)
	}
	cmd := exec.Command(tool, "build", "-gcflags=-S", ".")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := string(out)
	if n := strings.Count(text, "\tFMULS\t"); n < 50 {
		t.Fatalf("%d products in the assembly: the test does not read it right", n)
	}
	if fused := regexp.MustCompile(`(?m)^.*\tFN?M(ADD|SUB)[SD]\t.*$`).FindString(text); fused != "" {
		t.Errorf("a fused product: %s", fused)
	}
}
