package store

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// CacheDir is the folder of everything that was pulled: LLAMA_GO_CACHE, else
// llama-go in the platform's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("LLAMA_GO_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", &Error{Kind: KindMissingFile, Msg: "store: no cache folder: " + err.Error(),
			Tip: "set HOME, or LLAMA_GO_CACHE to a folder", Err: err}
	}
	return filepath.Join(base, "llama-go"), nil
}

// path is where a known model lies once it has been pulled.
func (k Known) path() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "models", k.Name, k.File), nil
}

// repoName is Hugging Face's org/name.
var repoName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Resolve turns what a person calls a model into an absolute path, in this
// order: a path that exists, a known name, org/name in the Hugging Face cache.
// A known model that has not been pulled is a *NotPulledError.
func Resolve(name string) (string, error) {
	if name == "" {
		return "", &Error{Kind: KindRequest, Msg: "store: the model's name is empty",
			Tip: "give a folder, a checkpoint file or one of: " + strings.Join(Names(), ", ")}
	}
	path := expandHome(name)
	if _, err := os.Stat(path); err == nil {
		return filepath.Abs(path)
	}
	if k, ok := Lookup(name); ok {
		p, err := k.path()
		if err != nil {
			return "", err
		}
		fi, err := os.Stat(p)
		if err != nil {
			return "", &NotPulledError{Name: name, Path: p}
		}
		if fi.Size() != k.Bytes {
			return "", &Error{Kind: KindCheckpoint,
				Msg: fmt.Sprintf("store: %s has %d bytes, expected %d", p, fi.Size(), k.Bytes),
				Tip: fmt.Sprintf("llama-go models --remove %s && llama-go pull %s", name, name)}
		}
		return p, nil
	}
	if repoName.MatchString(name) {
		if p, ok := huggingFace(name); ok {
			return p, nil
		}
		return "", &Error{Kind: KindMissingFile,
			Msg: fmt.Sprintf("Checkpoint directory '%s' does not exist.", name),
			Tip: fmt.Sprintf("it is neither a path nor in the Hugging Face cache (%s): `hf download %s` puts it there", hubDir(), name)}
	}
	return "", &Error{Kind: KindMissingFile,
		Msg: fmt.Sprintf("Checkpoint directory '%s' does not exist.", name),
		Tip: "give a folder or a checkpoint file that exists, or a known name: " + strings.Join(Names(), ", ")}
}

func expandHome(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return p
}

// hubDir is where huggingface_hub keeps what it downloads.
func hubDir() string {
	if d := os.Getenv("HF_HUB_CACHE"); d != "" {
		return d
	}
	if d := os.Getenv("HF_HOME"); d != "" {
		return filepath.Join(d, "hub")
	}
	if d := os.Getenv("XDG_CACHE_HOME"); d != "" {
		return filepath.Join(d, "huggingface", "hub")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}

// huggingFace finds the snapshot of org/name that refs/main names, else the
// only one there is.
func huggingFace(repo string) (string, bool) {
	dir := filepath.Join(hubDir(), "models--"+strings.ReplaceAll(repo, "/", "--"))
	snapshots := filepath.Join(dir, "snapshots")
	if ref, err := os.ReadFile(filepath.Join(dir, "refs", "main")); err == nil {
		p := filepath.Join(snapshots, filepath.Base(strings.TrimSpace(string(ref))))
		if isDir(p) {
			return p, true
		}
	}
	entries, err := os.ReadDir(snapshots)
	if err != nil || len(entries) != 1 {
		return "", false
	}
	return filepath.Join(snapshots, entries[0].Name()), true
}

func isDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir()
}

// Entry is a model in the cache.
type Entry struct {
	Known
	Path   string
	Pulled bool
}

// List tells of every known model whether it is here.
func List() ([]Entry, error) {
	var list []Entry
	for _, name := range Names() {
		k := known[name]
		p, err := k.path()
		if err != nil {
			return nil, err
		}
		fi, err := os.Stat(p)
		list = append(list, Entry{k, p, err == nil && fi.Size() == k.Bytes})
	}
	return list, nil
}

// Remove deletes a pulled model; one that is not here is an error.
func Remove(name string) error {
	k, ok := Lookup(name)
	if !ok {
		return &Error{Kind: KindRequest, Msg: fmt.Sprintf("store: no model is called %q", name),
			Tip: "known names: " + strings.Join(Names(), ", ")}
	}
	p, err := k.path()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(p)); err != nil {
		return &NotPulledError{Name: name, Path: p}
	}
	return os.RemoveAll(filepath.Dir(p))
}
