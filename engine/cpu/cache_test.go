package cpu_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/weights"
)

// cachedModel copies the small trained model to a folder, opens it and tells its
// logits with each cache.
type cachedModel struct {
	path, dir string
}

func newCachedModel(t *testing.T) *cachedModel {
	t.Helper()
	from := filepath.Join(testdata.Dir(t), "stories260k", "hf_f32")
	m := &cachedModel{filepath.Join(t.TempDir(), "model"), filepath.Join(t.TempDir(), "panels")}
	if err := os.CopyFS(m.path, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return m
}

// logits opens the model with its cache and computes something.
func (m *cachedModel) logits(t *testing.T, q engine.Quantize, mode engine.Precision) []float32 {
	t.Helper()
	ck, err := weights.Open(context.Background(), m.path, weights.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	var last, all int64
	b, err := cpu.OpenCached(m.dir)(context.Background(), ck.Config, ck, engine.BackendOptions{Precision: mode, Quantize: q},
		func(done, total int64) {
			if done < last || done > total {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last, all = done, total
		})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if last != all || all == 0 {
		t.Errorf("progress ended at %d of %d", last, all)
	}
	return append([]float32(nil), step(t, b, engine.Row{Tokens: []int32{1, 403, 407, 261}, Blocks: blocks(0, 1), LastN: 4})[0]...)
}

// files are those of the cache.
func (m *cachedModel) files(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(m.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: logit %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// The second load reads the file that the first one has made and computes the same
// bits, in either mode; without quantize there is no file.
func TestCacheOfQuantizedWeights(t *testing.T) {
	m := newCachedModel(t)
	m.logits(t, engine.NoQuantize, engine.Fast)
	if len(m.files(t)) != 0 {
		t.Fatalf("without quantize there are %v", m.files(t))
	}
	for i, q := range quantizations {
		for _, mode := range modes {
			want := m.logits(t, q, mode)
			files := m.files(t)
			if len(files) != i+1 {
				t.Fatalf("%s: files %v", q, files)
			}
			before := stat(t, files)
			sameBits(t, string(q), m.logits(t, q, mode), want)
			for name, info := range stat(t, m.files(t)) {
				if !os.SameFile(info, before[name]) || info.ModTime() != before[name].ModTime() {
					t.Errorf("%s: the second load wrote %s", q, name)
				}
			}
		}
	}
}

func stat(t *testing.T, names []string) map[string]os.FileInfo {
	t.Helper()
	all := map[string]os.FileInfo{}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = info
	}
	return all
}

// A file that was damaged anywhere is not used, and is made anew; so is that of a
// model whose file has changed.
func TestDamagedCacheIsMadeAnew(t *testing.T) {
	m := newCachedModel(t)
	want := m.logits(t, engine.Int8, engine.Exact)
	file := m.files(t)[0]
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flipped := func(at int) []byte {
		b := append([]byte(nil), good...)
		b[at] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "half": good[:len(good)/2], "longer": append(append([]byte(nil), good...), 0),
		"magic": flipped(0), "key": flipped(20), "size": flipped(50), "checksum": flipped(57), "padding": flipped(4000),
		"first byte of data": flipped(4096), "last byte of data": flipped(len(good) - 1),
	} {
		put(b)
		sameBits(t, name, m.logits(t, engine.Int8, engine.Exact), want)
		again, err := os.ReadFile(file)
		if err != nil || string(again) != string(good) {
			t.Errorf("%s: the file was not made anew (error %v)", name, err)
		}
	}

	weightsFile := filepath.Join(m.path, "model.safetensors")
	b, err := os.ReadFile(weightsFile)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) - 4096; i < len(b); i++ {
		b[i] ^= b[i] & 1
	}
	if err := os.Rename(weightsFile, weightsFile+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(weightsFile, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m.logits(t, engine.Int8, engine.Exact)
	if files := m.files(t); len(files) != 2 {
		t.Errorf("another model file: the cache holds %v", files)
	}
}

// Where the cache cannot be written the model loads all the same, and nothing is
// left of a load that was cancelled.
func TestCacheWithoutPlace(t *testing.T) {
	m := newCachedModel(t)
	m.dir = filepath.Join(m.path, "config.json", "panels") // below a file
	m.logits(t, engine.Int4, engine.Fast)

	m = newCachedModel(t)
	ck, err := weights.Open(context.Background(), m.path, weights.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	ctx, cancel := context.WithCancel(context.Background())
	_, err = cpu.OpenCached(m.dir)(ctx, ck.Config, ck, engine.BackendOptions{Quantize: engine.Int8}, func(done, total int64) {
		if done == total {
			cancel()
		}
	})
	cancel()
	if !errors.Is(err, context.Canceled) || len(m.files(t)) != 0 {
		t.Errorf("error %v, files %v", err, m.files(t))
	}
}
