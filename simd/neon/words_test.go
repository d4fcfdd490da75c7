package neon

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every instruction written as a word is the one that its comment says, as
// binutils reads it.
func TestWords(t *testing.T) {
	objdump := ""
	for _, name := range []string{"aarch64-linux-gnu-objdump", "objdump"} {
		// An objdump of one architecture lists what it knows.
		if out, err := exec.Command(name, "--info").Output(); err == nil && strings.Contains(string(out), "aarch64") {
			objdump = name
			break
		}
	}
	if objdump == "" {
		t.Skip("no objdump that knows aarch64 (Debian: binutils-aarch64-linux-gnu)")
	}
	files, err := filepath.Glob("../*/*_arm64.s")
	if err != nil || len(files) != 5 {
		t.Fatalf("files %v, error %v", files, err)
	}
	written := regexp.MustCompile(`(?m)^\tWORD \$0x([0-9a-f]{8}) // (.*)$`)
	listed := regexp.MustCompile(`(?m)^\s*[0-9a-f]+:\t([0-9a-f]{8}) \t(.*)$`)
	texts := map[uint32]string{}
	var order []uint32
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "WORD"); n != len(written.FindAll(b, -1)) {
			t.Fatalf("%s: %d words, and not all are followed by their text", f, n)
		}
		for _, m := range written.FindAllStringSubmatch(string(b), -1) {
			w, err := strconv.ParseUint(m[1], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			word := uint32(w)
			if was, ok := texts[word]; ok && was != m[2] {
				t.Errorf("%08x is %q and %q", word, was, m[2])
			} else if !ok {
				texts[word] = m[2]
				order = append(order, word)
			}
		}
	}
	var code []byte
	for _, w := range order {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	bin := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(bin, code, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-z", "-b", "binary", "-m", "aarch64", bin).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := listed.FindAllStringSubmatch(string(out), -1)
	if len(found) != len(order) || len(order) < 100 {
		t.Fatalf("%d instructions of %d words", len(found), len(order))
	}
	for i, m := range found {
		text, _, _ := strings.Cut(strings.Join(strings.Fields(m[2]), " "), " //")
		if text != texts[order[i]] {
			t.Errorf("%s is %q, not %q", m[1], text, texts[order[i]])
		}
	}
	t.Logf("%d different words", len(order))
}
