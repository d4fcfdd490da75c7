package simd

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The instructions that the generator writes as bytes are to a disassembler what
// their comments say.
func TestRawEncodings(t *testing.T) {
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Skip("no objdump: raw encodings are not disassembled")
	}
	files, err := filepath.Glob("*/*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var code bytes.Buffer
	var want []string
	seen := map[string]bool{}
	number := regexp.MustCompile(`BYTE \$0x([0-9a-f]{2})`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			raw, comment, ok := strings.Cut(strings.TrimSpace(line), " // ")
			if !strings.HasPrefix(raw, "BYTE ") || seen[line] {
				continue
			}
			if !ok {
				t.Fatalf("%s: bytes without a comment: %s", name, line)
			}
			seen[line] = true
			for _, b := range number.FindAllStringSubmatch(raw, -1) {
				v, err := strconv.ParseUint(b[1], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				code.WriteByte(byte(v))
			}
			want = append(want, gnuSyntax(comment))
		}
	}
	bin := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(bin, code.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "--no-show-raw-insn", "-b", "binary", "-m", "i386:x86-64", bin).Output()
	if err != nil {
		t.Skipf("objdump does not know x86-64: %v", err)
	}
	var got []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	zero := regexp.MustCompile(`\b0x0\(`)
	address := regexp.MustCompile(`^\s*[0-9a-f]+:\s+(.*)$`)
	for lines.Scan() {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			got = append(got, strings.Join(strings.Fields(zero.ReplaceAllString(strings.ReplaceAll(m[1], ",", ", "), "(")), " "))
		}
	}
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if strings.Contains(g, "(bad)") && strings.HasPrefix(w, "t") {
			t.Skipf("this objdump does not know %s", w)
		}
		if g != w {
			t.Fatalf("instruction %d is %q, want %q", i, g, w)
		}
	}
	t.Logf("%d instructions", len(want))
}

// gnuSyntax is what objdump writes for an instruction in Go's syntax.
func gnuSyntax(s string) string {
	name, rest, _ := strings.Cut(s, " ")
	name, suffix, _ := strings.Cut(name, ".")
	bcst := suffix == "BCST"
	s = strings.ToLower(name)
	if rest == "" {
		return s
	}
	register := regexp.MustCompile(`\b(T|[XYZ])(\d+)\b`)
	rest = register.ReplaceAllStringFunc(rest, func(r string) string {
		if r[0] == 'T' {
			return "%tmm" + r[1:]
		}
		return "%" + strings.ToLower(r[:1]) + "mm" + r[1:]
	})
	address := regexp.MustCompile(`(-?\d+)?\((\w+)\)(?:\((\w+)\*(\d)\))?`)
	rest = address.ReplaceAllStringFunc(rest, func(a string) string {
		m := address.FindStringSubmatch(a)
		out := ""
		if d, err := strconv.Atoi(m[1]); err == nil && d != 0 {
			out = strings.Replace("0x"+strconv.FormatInt(int64(d), 16), "0x-", "-0x", 1)
		}
		out += "(" + gnuRegister(m[2])
		if m[3] != "" {
			out += ", " + gnuRegister(m[3]) + ", " + m[4]
		}
		out += ")"
		if bcst {
			out += "{1to16}"
		}
		return out
	})
	return s + " " + rest
}

func gnuRegister(r string) string {
	if strings.HasPrefix(r, "R") {
		return "%" + strings.ToLower(r)
	}
	return "%r" + strings.ToLower(r)
}
