//go:build unix

package weights

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// goodFolder has all that a checkpoint can have.
func goodFolder(t *testing.T) string {
	return folderOf(t, map[string][]byte{
		"config.json":            configJSON(tinyConfig, ""),
		"generation_config.json": []byte(`{"eos_token_id": 2}`),
		"model.safetensors":      safetensorsFile(hfTensors(tinyConfig, "F32")),
		"tokenizer.json":         []byte(`{"model": {}}`),
		"tokenizer_config.json":  []byte(`{"chat_template": "x"}`),
	})
}

// TestSpecialFiles puts something that is no regular file in the place of each
// file. None may be waited for, read, or followed out of the folder.
func TestSpecialFiles(t *testing.T) {
	outside := folderOf(t, map[string][]byte{"secret": configJSON(tinyConfig, "")})
	kinds := []struct {
		name, want string
		kind       ErrorKind // "": that of the file
		make       func(path string) error
	}{
		{"FIFO", "is not a regular file but a named pipe", "", func(p string) error { return syscall.Mkfifo(p, 0o600) }},
		{"folder", "is not a regular file but a folder", "", func(p string) error { return os.Mkdir(p, 0o755) }},
		{"link out, absolute", "is a link that leaves the model's folder", "", func(p string) error { return os.Symlink(filepath.Join(outside, "secret"), p) }},
		{"link out, relative", "is a link that leaves the model's folder", "", func(p string) error {
			return os.Symlink("../../../../../../../../"+filepath.Join(outside, "secret"), p)
		}},
		{"link to a device", "is a link that leaves the model's folder", "", func(p string) error { return os.Symlink("/dev/zero", p) }},
		{"link to itself", "cannot be opened", "", func(p string) error { return os.Symlink(filepath.Base(p), p) }},
		{"link to nothing", "is a link to a file that does not exist", KindMissingFile, func(p string) error { return os.Symlink("nothing", p) }},
		{"socket", "is not a regular file but a socket", "", func(p string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: p})
		}},
	}
	files := []struct {
		name string
		kind ErrorKind
	}{{"config.json", KindConfig}, {"generation_config.json", KindConfig}, {"model.safetensors", KindCheckpoint},
		{"tokenizer.json", KindTokenizer}, {"tokenizer_config.json", KindTokenizer}}
	for _, k := range kinds {
		for _, f := range files {
			t.Run(k.name+" "+f.name, func(t *testing.T) {
				dir := goodFolder(t)
				path := filepath.Join(dir, f.name)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := k.make(path); err != nil {
					t.Skipf("cannot make a %s here: %v", k.name, err) // a socket's path is short
				}
				kind := f.kind
				if k.kind != "" {
					kind = k.kind
				}
				before := openFiles(t)
				err := within(t, 5*time.Second, func() error {
					c, err := Open(context.Background(), dir, Options{})
					if err == nil {
						c.Close()
					}
					return err
				})
				refused(t, err, kind, k.want, f.name)
				if after := openFiles(t); after != before {
					t.Errorf("%d files open, before it were %d", after, before)
				}
			})
		}
	}
	t.Run("FIFO named", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		err := within(t, 5*time.Second, func() error {
			_, err := Open(context.Background(), path, Options{})
			return err
		})
		refused(t, err, KindCheckpoint, "named pipe")
		_, _, err = OpenTokenizer(path)
		refused(t, err, KindTokenizer, "named pipe")
		_, _, err = ReadConfig(path)
		refused(t, err, KindConfig, "named pipe")
	})
	t.Run("device named", func(t *testing.T) {
		_, err := Open(context.Background(), "/dev/zero", Options{})
		refused(t, err, KindCheckpoint, "is not a regular file but a device")
	})
}

// within fails the test when f takes longer.
func within(t *testing.T, limit time.Duration, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatalf("still running after %v", limit)
		return nil
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	dir := goodFolder(t)
	if err := os.Chmod(filepath.Join(dir, "model.safetensors"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), dir, Options{})
	refused(t, err, KindCheckpoint, "model.safetensors", "permission denied")
}

// TestCacheSnapshot opens a snapshot of the Hugging Face cache, whose files are
// links into blobs/, by its folder, by a link to it, and by a file of it.
func TestCacheSnapshot(t *testing.T) {
	hub := t.TempDir()
	repo := filepath.Join(hub, "models--org--name")
	snapshot := filepath.Join(repo, "snapshots", "abc123")
	put := func(name string, data []byte) {
		write(t, filepath.Join(repo, "blobs", "blob-"+name), data)
		if err := os.MkdirAll(snapshot, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../blobs/blob-"+name, filepath.Join(snapshot, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("config.json", configJSON(tinyConfig, ""))
	put("model.safetensors", safetensorsFile(hfTensors(tinyConfig, "BF16")))
	put("tokenizer.json", []byte(`{}`))
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.Symlink(snapshot, alias); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{snapshot, alias, filepath.Join(snapshot, "model.safetensors"), filepath.Join(alias, "model.safetensors")} {
		c := mustOpen(t, path, Options{})
		if c.Tokenizer.JSON == nil || c.Config.DType != "bfloat16" {
			t.Errorf("%s: tokenizer %q, dtype %s", path, c.Tokenizer.Path, c.Config.DType)
		}
	}
	if id, _ := Identity(snapshot, Options{}); id == "" || id != mustOpen(t, snapshot, Options{}).Identity {
		t.Error("Identity differs from Open's")
	}
	// A link out of the repository's folder is still refused.
	os.Remove(filepath.Join(snapshot, "config.json"))
	write(t, filepath.Join(hub, "config.json"), configJSON(tinyConfig, ""))
	if err := os.Symlink("../../../config.json", filepath.Join(snapshot, "config.json")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), snapshot, Options{})
	refused(t, err, KindConfig, "config.json", "is a link that leaves the model's folder")
}

// TestNamedLink follows a link that the user names.
func TestNamedLink(t *testing.T) {
	real := filepath.Join(folderOf(t, map[string][]byte{"m.gguf": tinyGGUF(1).bytes()}), "m.gguf")
	dir := goodFolder(t)
	links := t.TempDir()
	for name, target := range map[string]string{"model.gguf": real, "dir": dir, "tok": filepath.Join(dir, "tokenizer.json")} {
		if err := os.Symlink(target, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	if c := mustOpen(t, filepath.Join(links, "model.gguf"), Options{}); c.Path != real {
		t.Errorf("path %s, expected %s", c.Path, real)
	}
	mustOpen(t, filepath.Join(links, "dir"), Options{TokenizerPath: filepath.Join(links, "tok")})
}

// mappedAndOpen counts this process's mappings of files below dir.
func mapped(t *testing.T, dir string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("no /proc/self/maps on %s", runtime.GOOS)
	}
	return strings.Count(string(maps), dir)
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc/self/fd on %s", runtime.GOOS)
	}
	return len(list)
}

// TestNothingLeft checks that neither Close nor a failure leaves a mapping or
// an open file.
func TestNothingLeft(t *testing.T) {
	shards, index := shardedFiles()
	shards["config.json"] = configJSON(tinyConfig, "")
	shards["model.safetensors.index.json"] = index
	good := folderOf(t, shards)
	files := openFiles(t)
	c, err := Open(context.Background(), good, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := mapped(t, good); n != 3 {
		t.Errorf("%d mappings while open, expected 3", n)
	}
	if n := openFiles(t); n != files {
		t.Errorf("%d files stay open, before it were %d", n, files)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := mapped(t, good); n != 0 {
		t.Errorf("%d mappings after Close", n)
	}
	if _, ok := c.Tensor("model.norm.weight"); ok {
		t.Error("a closed Source hands out a tensor")
	}

	bad := good // the last shard is broken
	write(t, filepath.Join(bad, "model-00003-of-00003.safetensors"), []byte("{}{}{}{}{}{}{}"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, open := range map[string]func() error{
		"broken shard": func() error { _, err := Open(context.Background(), bad, Options{}); return err },
		"cancelled":    func() error { _, err := Open(ctx, bad, Options{}); return err },
	} {
		if open() == nil {
			t.Errorf("%s: no error", name)
		}
		if n := mapped(t, bad); n != 0 {
			t.Errorf("%s: %d mappings stay", name, n)
		}
		if n := openFiles(t); n != files {
			t.Errorf("%s: %d files stay open, before it were %d", name, n, files)
		}
	}
}

// TestCutWhileOpening truncates the file under the mapping: a typed error, no
// dead process.
func TestCutWhileOpening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	g := tinyGGUF(0)
	g.extra = make([]byte, 0)
	g.tensors[0].dims[1] = 1 << 14 // 2 MiB of embedding
	write(t, path, g.bytes())
	c := mustOpen(t, path, Options{})
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	v, _ := c.Tensor("model.embed_tokens.weight")
	err := guard(func() error { _ = bytes.Clone(v.Data); return nil })
	refused(t, err, KindCheckpoint, "could not be read or was cut short")
	if n := mapped(t, path); n != 1 {
		t.Errorf("%d mappings, expected 1", n)
	}
}
