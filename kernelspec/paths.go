package kernelspec

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The places where Jupyter looks for kernels are those of jupyter_core.paths:
// JUPYTER_PATH, the user's data folder, the environment's share/jupyter, the
// system's.

// userDataDir is jupyter_core.paths.jupyter_data_dir.
func userDataDir() (string, error) {
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), err
	case "windows":
		if dir := os.Getenv("APPDATA"); dir != "" {
			return filepath.Join(dir, "jupyter"), nil
		}
		return filepath.Join(home, "AppData", "Roaming", "jupyter"), err
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), err
}

// systemDataDirs are jupyter_core.paths.SYSTEM_JUPYTER_PATH.
func systemDataDirs() []string {
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("PROGRAMDATA"); dir != "" {
			return []string{filepath.Join(dir, "jupyter")}
		}
		return nil
	}
	return []string{"/usr/local/share/jupyter", "/usr/share/jupyter"}
}

// SysPrefix is the root of the active Python environment: that of the binary
// itself when it lies in one, else VIRTUAL_ENV, CONDA_PREFIX, or sys.prefix of
// the Python on the path. "" when there is none.
func SysPrefix() string {
	if exe, err := os.Executable(); err == nil {
		root := filepath.Dir(filepath.Dir(exe))
		if isFile(filepath.Join(root, "pyvenv.cfg")) || isDir(filepath.Join(root, "conda-meta")) {
			return root
		}
	}
	for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := os.Getenv(env); dir != "" {
			return dir
		}
	}
	python, err := findPython()
	if err != nil {
		return ""
	}
	out, err := exec.Command(python, "-c", "import sys; print(sys.prefix)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// findPython is LLAMA_GO_PYTHON or the Python on the path.
func findPython() (string, error) {
	if p := os.Getenv("LLAMA_GO_PYTHON"); p != "" {
		return p, nil
	}
	p, err := exec.LookPath("python3")
	if err != nil {
		p, err = exec.LookPath("python")
	}
	return p, err
}

// prefixDir is where a prefix keeps kernels; share/jupyter is ours to add.
func prefixDir(prefix string) string {
	return filepath.Join(prefix, "share", "jupyter", "kernels")
}

// searchDirs lists the folders that hold kernels, in Jupyter's order.
func searchDirs() []string {
	var dirs []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, p := range filepath.SplitList(os.Getenv("JUPYTER_PATH")) {
		add(filepath.Join(p, "kernels"))
	}
	if user, err := userDataDir(); err == nil {
		add(filepath.Join(user, "kernels"))
	}
	if prefix := SysPrefix(); prefix != "" {
		add(prefixDir(prefix))
	}
	for _, p := range systemDataDirs() {
		add(filepath.Join(p, "kernels"))
	}
	return dirs
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
