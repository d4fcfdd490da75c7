package weights

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What was released reads as before, and memory that is no file of the
// checkpoint is left alone.
func TestRelease(t *testing.T) {
	want := bytes.Repeat([]byte("weights!"), 4096)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &Checkpoint{maps: &mappings{}}
	data, err := c.maps.add(f, int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.maps.close(); err != nil {
			t.Error(err)
		}
	}()
	(&Checkpoint{}).Release(data) // without files
	heap := bytes.Clone(want)
	for _, part := range [][]byte{data, data[5:], data[5:9000], data[:0], data[len(data)-1:], heap, nil} {
		c.Release(part)
		if !bytes.Equal(data, want) || !bytes.Equal(heap, want) {
			t.Fatal("released bytes changed")
		}
	}
}
