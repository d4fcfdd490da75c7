package weights

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// bigFile is a sparse GGUF file of 64 MiB and more.
func bigFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	c := tinyConfig
	c.VocabSize = 1 << 19
	g := ggufOf(c, 0)
	g.noData = true
	head := g.bytes()
	g.noData = false
	// The same header with real offsets, and a hole for the data.
	full := int64(0)
	for _, s := range TensorShapes(with(c, func(c *Config) { c.TieWordEmbeddings = true })) {
		full += int64(4 * product(s.Shape))
	}
	data := g.bytes()[:len(head)]
	write(t, path, data)
	if err := os.Truncate(path, int64(len(head)+31)/32*32+full); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgress(t *testing.T) {
	path := bigFile(t)
	var last, total int64
	c := mustOpen(t, path, Options{Progress: func(done, n int64) {
		if done <= last || done > n {
			t.Errorf("progress from %d to %d of %d", last, done, n)
		}
		last, total = done, n
	}})
	if last != total || total != c.Bytes {
		t.Errorf("progress ended at %d of %d, the file has %d bytes", last, total, c.Bytes)
	}
	if err := c.Populate(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

// TestCancel ends the context in the middle of a load.
func TestCancel(t *testing.T) {
	path := bigFile(t)
	best := time.Hour
	for range 5 { // other work on the machine may delay some of them
		ctx, cancel := context.WithCancel(context.Background())
		var at time.Time
		calls := 0
		_, err := Open(ctx, path, Options{Progress: func(done, total int64) {
			if calls++; calls == 2 {
				cancel()
				at = time.Now()
			}
		}})
		best = min(best, time.Since(at))
		if !errors.Is(err, context.Canceled) || calls != 2 {
			t.Fatalf("error %v after %d calls, expected context.Canceled after 2", err, calls)
		}
	}
	if best > 100*time.Millisecond {
		t.Errorf("returned %v after the context's end, at most 100 ms are allowed", best)
	}
}

func TestTouchPages(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1 << 20} {
		touchPages(make([]byte, n)) // must not index beyond
	}
}

// TestGuard keeps panics that are no faults.
func TestGuard(t *testing.T) {
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v, expected the panic of f", v)
		}
	}()
	guard(func() error { panic("mine") })
}

// TestIdentity changes with each file that Open would use, and with no other.
func TestIdentity(t *testing.T) {
	dir := folderOf(t, map[string][]byte{"m/config.json": configJSON(tinyConfig, ""), "m/model.safetensors": safetensorsFile(hfTensors(tinyConfig, "F32"))})
	m := filepath.Join(dir, "m")
	id := func() string {
		t.Helper()
		s, err := Identity(m, Options{})
		if err != nil || s == "" {
			t.Fatal(err)
		}
		return s
	}
	was := id()
	if c := mustOpen(t, m, Options{}); c.Identity != was {
		t.Error("Identity differs from Open's")
	}
	write(t, filepath.Join(m, "README.md"), nil)
	write(t, filepath.Join(dir, "other.txt"), nil)
	if id() != was {
		t.Error("changed with a file that Open does not use")
	}
	for _, name := range []string{"m/config.json", "m/generation_config.json", "tokenizer.model", "m/tokenizer.json", "m/tokenizer_config.json", "m/model.safetensors"} {
		write(t, filepath.Join(dir, name), []byte("{} "+name))
		now := id()
		if now == was {
			t.Errorf("did not change with %s", name)
		}
		was = now
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(m, "model.safetensors"), past, past); err != nil {
		t.Fatal(err)
	}
	if id() == was {
		t.Error("did not change with the modification time")
	}
	if _, err := Identity(filepath.Join(m, "none"), Options{}); err == nil {
		t.Error("no error for a path that is not there")
	}
}

// TestChangedWhileOpening writes a file between two looks.
func TestChangedWhileOpening(t *testing.T) {
	path := bigFile(t)
	_, err := Open(context.Background(), path, Options{Progress: func(done, total int64) {
		if done == total {
			now := time.Now().Add(time.Hour)
			os.Chtimes(path, now, now)
		}
	}})
	refused(t, err, KindCheckpoint, "changed while it was being opened", path)
}
