//go:build unix

package tokenizer_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine/tokenizer"
)

// cpuTime is what the process has used, which other processes hardly change.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestTenMegabytes holds real vocabularies to a microsecond of processor time per
// byte on single words of 10 MB.
func TestTenMegabytes(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("times mean nothing under the race detector")
	}
	for name, tok := range benchTokenizers(t) {
		for _, h := range hardTexts {
			if h.name != "one letter" && h.name != "random letters" {
				continue
			}
			text := h.make(10 * megabyte)
			start := cpuTime(t)
			tok.Encode(text, tokenizer.AllSpecial)
			took := cpuTime(t) - start
			perByte := took.Seconds() * 1e6 / float64(len(text))
			t.Logf("%s, %s: %.3f µs/byte", name, h.name, perByte)
			if perByte > 1 {
				t.Errorf("%s, %s: %.3f µs/byte, at most 1 is allowed", name, h.name, perByte)
			}
		}
	}
}
