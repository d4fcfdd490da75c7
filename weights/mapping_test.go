package weights

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCancel opens with a context that has ended.
func TestCancel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	write(t, path, tinyGGUF(0).bytes())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, expected context.Canceled", err)
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
	path := filepath.Join(t.TempDir(), "m.gguf")
	write(t, path, tinyGGUF(0).bytes())
	p, err := locate(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	maps := &mappings{}
	defer maps.close()
	c, err := p.open(context.Background(), maps, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.unchanged(c, Options{}); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	later(t, path)
	refused(t, p.unchanged(c, Options{}), KindCheckpoint, "changed while it was being opened", path)
}

// later moves a file's modification time.
func later(t *testing.T, path string) {
	t.Helper()
	now := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
}

// TestChanged writes to, cuts, unlinks and replaces each mapped file of an open
// checkpoint.
func TestChanged(t *testing.T) {
	shards, index := shardedFiles()
	shards["config.json"] = configJSON(tinyConfig, "")
	shards["model.safetensors.index.json"] = index
	for _, tc := range []struct {
		name    string
		do      func(t *testing.T, path string)
		changed bool
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"written", later, true},
		{"cut", func(t *testing.T, path string) {
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"unlinked", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"replaced", func(t *testing.T, path string) {
			write(t, path+".new", []byte("another"))
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i := range 3 {
				c := mustOpen(t, folderOf(t, shards), Options{})
				if len(c.Files) != 3 {
					t.Fatalf("files %v", c.Files)
				}
				tc.do(t, c.Files[i])
				if err := Changed(c); tc.changed {
					refused(t, err, KindCheckpoint, "was written at", c.Files[i])
				} else if err != nil {
					t.Errorf("%s: %v", c.Files[i], err)
				}
			}
		})
	}
	if err := Changed(NewMemory(nil, Halves)); err != nil {
		t.Errorf("weights in memory: %v", err)
	}
}
