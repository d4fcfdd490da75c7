package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/weights"
)

// A bench ends soon after its context, and prints no half of a table.
func TestBenchStops(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(&cli.Env{Stdout: out, Stderr: out}, benchFlags{
		shape: "tiny", types: "q8_0", precision: "fast", rounds: 1000, prompt: 64, sample: time.Millisecond,
	}, []string{"decode", "prefill", "depth", "batch", "kernels"}) // busy and load start this very program
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := b.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if fi, err := out.Stat(); err != nil || fi.Size() != 0 {
		t.Errorf("printed %d bytes, error %v", fi.Size(), err)
	}
}

// What a token reads and multiplies, counted by hand.
func TestBenchCounts(t *testing.T) {
	b := &bench{flags: benchFlags{shape: "tinyllama-1.1b"}}
	var err error
	if b.types, err = parseTypes("bf16,q8_0,q4_0"); err != nil {
		t.Fatal(err)
	}
	all, err := b.benchModels(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const layer = 2*2048*2048 + 2*256*2048 + 3*5632*2048
	const head = 32000 * 2048
	for i, bytes := range []int64{(22*layer + head) * 2, (22*layer + head) / 32 * 34, (22*layer + head) / 32 * 18} {
		if m := all[i]; m.products != 22*layer+head || m.head != head || m.bytes != bytes {
			t.Errorf("%s: %d products, %d of the head, %d bytes; want %d, %d, %d", m.typ.name, m.products, m.head, m.bytes, 22*layer+head, head, bytes)
		}
	}
}

// Shapes are models that can be, and types fit those whose rows are whole blocks.
func TestBenchShapes(t *testing.T) {
	for _, name := range shapeNames() {
		cfg := shapeConfig(name)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, typ := range knownTypes() {
			fits := typ.fits(cfg) == nil
			if want := cfg.HiddenSize%typ.dtype.BlockSize() == 0 && cfg.IntermediateSize%typ.dtype.BlockSize() == 0; fits != want {
				t.Errorf("%s in %s: fits %v, want %v", name, typ.name, fits, want)
			}
			if typ.quantize == engine.NoQuantize && !engine.RandomType(typ.dtype) {
				t.Errorf("%s has no random weights", typ.name)
			}
			if got := strings.ToLower(typ.simdType().String()); typ.quantize == engine.NoQuantize && got != typ.name {
				t.Errorf("kernels of %s are %s's", typ.name, got)
			}
		}
	}
	if d := mainType("bfloat16"); d != weights.BF16 {
		t.Errorf("bfloat16 is %v", d)
	}
}

func TestBenchNumbers(t *testing.T) {
	for v, want := range map[float64]string{0.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 12345: "12345", 0: "0"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
	if s := newSpread([]float64{4, 1, 2, 3}); *s != (spread{2.5, 1, 4}) {
		t.Errorf("spread of four is %v", *s)
	}
	if s := newSpread([]float64{5, 1, 2}); *s != (spread{2, 1, 5}) {
		t.Errorf("spread of three is %v", *s)
	}
	if s := newSpread(nil); s.text() != "" || s.share() != "" || s.median() != "" {
		t.Errorf("no samples are %q", s.text())
	}
}

// What spoils figures is noted; files that are not there say nothing.
func TestBenchLooks(t *testing.T) {
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		load, pages string
		want        int
	}{
		{"2.50 1.00 0.50 3/200 1234\n", "always madvise [never]\n", 2},
		{"0.10 1.00 0.50 3/200 1234\n", "always [madvise] never\n", 0},
		{"", "", 0},
	} {
		var r benchReport
		r.look(write("loadavg", c.load), write("enabled", c.pages))
		if len(r.Notes) != c.want {
			t.Errorf("%q, %q: notes %q, want %d", c.load, c.pages, r.Notes, c.want)
		}
	}
	var r benchReport
	if r.look("/nowhere/a", "/nowhere/b"); len(r.Notes) != 0 {
		t.Errorf("notes %q of nothing", r.Notes)
	}
}
