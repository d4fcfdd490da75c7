package kernelspec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Error is a refusal to install or uninstall, with what to do about it.
type Error struct {
	Msg, Tip string
	Err      error
}

func (e *Error) Error() string { return "kernelspec: " + e.Msg }

// Hint says how to mend it.
func (e *Error) Hint() string { return e.Tip }

func (e *Error) Unwrap() error { return e.Err }

// Where says which of Jupyter's folders is meant; at most one of the three is
// set, and none means the user's.
type Where struct {
	User      bool   // the user's data folder
	SysPrefix bool   // the active Python environment
	Prefix    string // PREFIX/share/jupyter/kernels: PREFIX itself has no "share"
	Name      string // the kernel's folder name; "": DefaultName
}

// InstallOptions are the flags of `llama-go install`.
type InstallOptions struct {
	Where
	DisplayName string // "": the default
	Replace     bool   // overwrite a kernel of that name that another program installed
	Binary      string // the program that the kernelspec starts; "": this one
}

// Jupyter's own rule for kernel names (jupyter_client.kernelspec._kernel_name_pat),
// in lower case, because the file systems of two platforms fold case.
var nameRule = regexp.MustCompile(`^[a-z0-9._-]+$`)

// dir is the kernel's folder.
func (w Where) dir() (string, error) {
	name := w.Name
	if name == "" {
		name = DefaultName
	}
	if !nameRule.MatchString(name) || strings.Trim(name, ".") == "" {
		return "", &Error{Msg: fmt.Sprintf("%q is no kernel name", name), Tip: "lower-case letters, digits, '.', '_' and '-' only"}
	}
	flags := 0
	for _, set := range []bool{w.User, w.SysPrefix, w.Prefix != ""} {
		if set {
			flags++
		}
	}
	if flags > 1 {
		return "", &Error{Msg: "more than one place was named", Tip: "give one of --user, --sys-prefix and --prefix"}
	}
	switch {
	case w.Prefix != "":
		prefix, err := filepath.Abs(w.Prefix)
		return filepath.Join(prefixDir(prefix), name), err
	case w.SysPrefix:
		prefix := SysPrefix()
		if prefix == "" {
			return "", &Error{Msg: "no Python environment found", Tip: "activate one, set LLAMA_GO_PYTHON, or use --user"}
		}
		return filepath.Join(prefixDir(prefix), name), nil
	}
	user, err := userDataDir()
	return filepath.Join(user, "kernels", name), err
}

// Install writes the kernelspec and returns its folder. An earlier llama-go
// kernelspec there is brought up to date; another program's is replaced only
// when asked.
func Install(opt InstallOptions) (string, error) {
	dir, err := opt.dir()
	if err != nil {
		return "", err
	}
	binary, err := resolveBinary(opt.Binary)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(dir); err == nil && !opt.Replace && !ours(dir) {
		return "", &Error{Msg: dir + " is another program's kernel", Tip: "choose another --name, or give --replace"}
	}
	argv0 := argv0For(binary, dir)
	if inTemp(binary) {
		// "go run" deletes its binary: keep a copy beside kernel.json.
		argv0 = "{resource_dir}" + string(filepath.Separator) + binaryName()
	}
	if err := Write(dir, New(argv0, opt.DisplayName)); err != nil {
		return "", denied(err, dir)
	}
	if inTemp(binary) {
		if err := copyBinary(binary, filepath.Join(dir, binaryName())); err != nil {
			return "", denied(err, dir)
		}
	}
	return dir, nil
}

// Uninstall removes the kernelspec and returns the folder it was in.
func Uninstall(w Where) (string, error) {
	dir, err := w.dir()
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", &Error{Msg: "nothing is installed in " + dir, Tip: installedTip(), Err: err}
	}
	if !ours(dir) {
		return "", &Error{Msg: dir + " is another program's kernel", Tip: "jupyter kernelspec uninstall " + filepath.Base(dir)}
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", denied(err, dir)
	}
	return dir, nil
}

// Installed is a llama-go kernelspec that Jupyter can see.
type Installed struct {
	Name   string
	Dir    string
	Spec   Spec
	Binary string // argv[0] with {resource_dir} resolved
	Usable bool   // Binary is there
}

// List finds the llama-go kernelspecs, in the order in which Jupyter looks.
func List() []Installed {
	var found []Installed
	for _, root := range searchDirs() {
		entries, err := os.ReadDir(root)
		if err != nil {
			continue
		}
		for _, e := range entries {
			dir := filepath.Join(root, e.Name())
			spec, err := Read(dir)
			if err != nil || !isOurs(spec) {
				continue
			}
			binary := filepath.Clean(strings.ReplaceAll(spec.Argv[0], "{resource_dir}", dir))
			found = append(found, Installed{
				Name: e.Name(), Dir: dir, Spec: spec, Binary: binary, Usable: isFile(binary),
			})
		}
	}
	return found
}

func installedTip() string {
	for _, in := range List() {
		return "one is in " + in.Dir
	}
	return "llama-go list shows what is installed"
}

func ours(dir string) bool {
	spec, err := Read(dir)
	return err == nil && isOurs(spec)
}

func isOurs(s Spec) bool {
	return s.Language == "llama" && len(s.Argv) > 1 && s.Argv[1] == "kernel"
}

// resolveBinary is the absolute path of the program, through no links: a link
// that a package manager moves shall keep working.
func resolveBinary(binary string) (string, error) {
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return "", err
		}
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return "", err
	}
	if !isFile(binary) {
		return "", &Error{Msg: binary + " is not a file", Tip: "name the llama-go program"}
	}
	return binary, nil
}

// argv0For is the path by which kernel.json in dir starts binary: relative to
// dir where both belong to one prefix, so that the prefix may move.
func argv0For(binary, dir string) string {
	wheel := WheelArgv0(runtime.GOOS)
	if filepath.Clean(strings.ReplaceAll(wheel, "{resource_dir}", dir)) == binary {
		return wheel
	}
	return binary
}

func inTemp(binary string) bool {
	rel, err := filepath.Rel(os.TempDir(), binary)
	return err == nil && strings.HasPrefix(rel, "go-build")
}

func copyBinary(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// denied turns a permission error into one that says what to do.
func denied(err error, dir string) error {
	if errors.Is(err, fs.ErrPermission) {
		return &Error{Msg: "no permission to write " + dir, Tip: "--user installs for you alone", Err: err}
	}
	return err
}
