package kernel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// filePrefix begins the names of all residents' files of this protocol.
func filePrefix() string { return fmt.Sprintf("llama-go-p%d-", rpc.ProtocolVersion) }

// place says where one binary's resident has its files.
type place struct {
	id   string // of the binary: names the resident for people
	conn string // connection file
	log  string
	lock string // held while somebody starts it
	run  string // held by the resident as long as it lives
}

// placeOf is the place of a binary on this machine. The runtime folder may lie
// in a home that several machines share, so the file's name has the host too;
// the locks lie on a local disk.
func placeOf(exe string) (place, error) {
	id, err := binaryID(exe)
	if err != nil {
		return place{}, err
	}
	dir, err := runtimeDir()
	if err != nil {
		return place{}, err
	}
	local, err := socketDir()
	if err != nil {
		return place{}, err
	}
	name := filepath.Join(dir, filePrefix()+id+"-"+hostID())
	return place{
		id: id, conn: name + ".json", log: name + ".log",
		lock: filepath.Join(local, id+".start"), run: filepath.Join(local, id+".run"),
	}, nil
}

// binaryID is the start of the SHA-256 of the executable.
func binaryID(exe string) (string, error) {
	f, err := os.Open(exe)
	if err != nil {
		return "", fmt.Errorf("kernel: reading the binary: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("kernel: reading the binary: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:10], nil
}

// hostID is a short hash of the host's name.
func hostID() string {
	sum := sha256.Sum256([]byte(hostname()))
	return hex.EncodeToString(sum[:3])
}

func hostname() string {
	h, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return h
}

// executable is exe made absolute, or this process's binary.
func executable(exe string) (string, error) {
	if exe == "" {
		return os.Executable()
	}
	return filepath.Abs(exe)
}

// runtimeDir is LLAMA_GO_RUNTIME, or the folder where Jupyter keeps connection
// files (jupyter_core.paths.jupyter_runtime_dir). It is made when absent.
func runtimeDir() (string, error) {
	dir := os.Getenv("LLAMA_GO_RUNTIME")
	if dir == "" {
		dir = os.Getenv("JUPYTER_RUNTIME_DIR")
	}
	if dir == "" {
		data, err := jupyterData()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(data, "runtime")
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("kernel: no runtime folder: %w (LLAMA_GO_RUNTIME names another)", err)
	}
	return dir, nil
}

func jupyterData() (string, error) {
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("APPDATA"); dir != "" {
			return filepath.Join(dir, "jupyter"), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("kernel: no home folder: %w (LLAMA_GO_RUNTIME names a folder to use)", err)
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case "windows":
		return filepath.Join(home, ".jupyter", "data"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}

// maxSocketDir leaves room in a socket's path (104 bytes on macOS, 107 on
// Linux) for the prefix and the port.
const maxSocketDir = 80

// socketDir is a short folder on a local disk that only this user can enter:
// LLAMA_GO_RUNTIME, below XDG_RUNTIME_DIR, or in /tmp.
func socketDir() (string, error) {
	var tried []string
	for _, dir := range socketDirs() {
		err := privateDir(dir)
		if err == nil && len(dir) > maxSocketDir {
			err = fmt.Errorf("%s has %d bytes, at most %d leave room for socket names", dir, len(dir), maxSocketDir)
		}
		if err == nil {
			return dir, nil
		}
		tried = append(tried, err.Error())
	}
	return "", fmt.Errorf("kernel: no folder for sockets and locks: %s (LLAMA_GO_RUNTIME names a short private one)", strings.Join(tried, "; "))
}

func socketDirs() []string {
	short := fmt.Sprintf("/tmp/llama-go-%d", os.Getuid())
	if dir := os.Getenv("LLAMA_GO_RUNTIME"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			abs = dir
		}
		sum := sha256.Sum256([]byte(abs)) // a folder of its own where abs is too long
		return []string{abs, short + "-" + hex.EncodeToString(sum[:4])}
	}
	if runtime.GOOS == "windows" {
		return []string{filepath.Join(os.TempDir(), "llama-go")}
	}
	var dirs []string
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		dirs = append(dirs, filepath.Join(dir, "llama-go"))
	}
	return append(dirs, short)
}

// privateDir makes a folder of mode 0700, or checks that the one there is a
// real folder of this user's that nobody else can write to.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case !ownedByUs(st):
		return fmt.Errorf("%s belongs to another user", dir)
	case runtime.GOOS != "windows" && st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s has mode %04o: others can write to it", dir, st.Mode().Perm())
	}
	return nil
}
