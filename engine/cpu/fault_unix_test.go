//go:build unix

package cpu_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// mapped writes every tensor to one file and returns views of its mapping. Each
// tensor starts at a page.
func mapped(t *testing.T, views []weights.View) (path string, out []weights.View) {
	t.Helper()
	page := os.Getpagesize()
	path = filepath.Join(t.TempDir(), "weights")
	var file []byte
	var starts []int
	for _, v := range views {
		starts = append(starts, len(file))
		file = append(file, v.Data...)
		file = append(file, make([]byte, (page-len(file)%page)%page)...)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, len(file), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	out = append(out, views...)
	for i, v := range views {
		out[i].Data = m[starts[i]:][:len(v.Data):len(v.Data)]
	}
	return path, out
}

// A file that is cut while its model runs is an error of that model, in every
// weight type and for one row and many, never the end of the process. Where all
// weights were packed, it is nothing.
func TestTruncatedFile(t *testing.T) {
	eachModeAndCase(t, func(t *testing.T, mode engine.Precision, c *tinyCase) {
		for _, n := range []int{1, 70} {
			path, views := mapped(t, c.views())
			src := weights.NewMemory(views, weights.Halves)
			b := openIn(t, mode, c.Config.Config, src, 2)
			row := engine.Row{Tokens: c.IDs[:n], Blocks: blocks(0, 2), LastN: 1}
			want := slices.Clone(step(t, b, row)[0])
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			plan := simd.NewPlan(mode == engine.Fast)
			if packs(plan, c.DType) && c.Config.TieWordEmbeddings {
				if got := step(t, b, row)[0]; !slices.Equal(got, want) {
					t.Fatal("packed weights changed with the file")
				}
			} else {
				checkGone(t, b, row)
			}
			_, err := cpu.Open(context.Background(), c.Config.Config, src, engine.BackendOptions{Precision: mode}, nil)
			if !errors.Is(err, cpu.ErrWeightsGone) {
				t.Fatalf("Open: error %v, want ErrWeightsGone", err)
			}
		}
	})
}

// checkGone steps twice: the error stays.
func checkGone(t *testing.T, b engine.Backend, row engine.Row) {
	t.Helper()
	for range 2 {
		if _, err := b.Step(context.Background(), &engine.Batch{Rows: []engine.Row{row}}); !errors.Is(err, cpu.ErrWeightsGone) {
			t.Fatalf("error %v, want ErrWeightsGone", err)
		}
	}
	var kinded interface {
		Kind() string
		Hint() string
	}
	if _, err := b.Step(context.Background(), &engine.Batch{}); !errors.As(err, &kinded) || kinded.Kind() != "checkpoint" || kinded.Hint() == "" {
		t.Errorf("error %v tells no kind and hint", err)
	}
}
