package kernelspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// home gives the test folders of its own wherever Jupyter looks.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]string{
		"HOME": dir, "JUPYTER_DATA_DIR": filepath.Join(dir, "data"), "JUPYTER_PATH": "",
		"VIRTUAL_ENV": filepath.Join(dir, "venv"), "CONDA_PREFIX": "", "LLAMA_GO_CACHE": filepath.Join(dir, "cache"),
	} {
		t.Setenv(name, value)
	}
	return dir
}

// program makes a file that stands for the binary.
func program(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInstallPlaces(t *testing.T) {
	dir := home(t)
	bin := program(t, filepath.Join(dir, "opt", "llama-go"))
	prefix := filepath.Join(dir, "prefix")
	for _, tc := range []struct {
		name string
		w    Where
		want string
	}{
		{"default", Where{}, filepath.Join(dir, "data", "kernels", "llama-go")},
		{"user", Where{User: true, Name: "mine"}, filepath.Join(dir, "data", "kernels", "mine")},
		{"environment", Where{SysPrefix: true}, filepath.Join(dir, "venv", "share", "jupyter", "kernels", "llama-go")},
		{"prefix", Where{Prefix: prefix}, filepath.Join(prefix, "share", "jupyter", "kernels", "llama-go")},
	} {
		got, err := Install(InstallOptions{Where: tc.w, Binary: bin})
		if err != nil || got != tc.want {
			t.Errorf("%s: got %s, %v, want %s", tc.name, got, err, tc.want)
			continue
		}
		spec, err := Read(got)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{bin, "kernel", "-f", "{connection_file}"}; !reflect.DeepEqual(spec.Argv, want) {
			t.Errorf("%s: argv %q", tc.name, spec.Argv)
		}
		if removed, err := Uninstall(tc.w); err != nil || removed != got || isDir(got) {
			t.Errorf("%s: uninstall: %s, %v", tc.name, removed, err)
		}
	}
}

// A binary in the scripts folder of the prefix that it is installed into is
// named from the kernelspec's own folder, so that the environment can be used
// without being activated, and moved.
func TestArgvWithinAPrefix(t *testing.T) {
	dir := home(t)
	prefix := filepath.Join(dir, "env")
	scripts := map[bool]string{true: "Scripts", false: "bin"}[runtime.GOOS == "windows"]
	bin := program(t, filepath.Join(prefix, scripts, binaryName()))
	at, err := Install(InstallOptions{Where: Where{Prefix: prefix}, Binary: bin})
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := Read(at)
	if spec.Argv[0] != WheelArgv0(runtime.GOOS) {
		t.Errorf("argv[0] %q", spec.Argv[0])
	}
	if got := filepath.Clean(strings.ReplaceAll(spec.Argv[0], "{resource_dir}", at)); got != bin {
		t.Errorf("it leads to %s, not %s", got, bin)
	}
}

func TestBinaryOfGoRunIsKept(t *testing.T) {
	dir := home(t)
	t.Setenv("TMPDIR", dir)
	bin := program(t, filepath.Join(dir, "go-build123", "b001", "exe", "llama-go"))
	at, err := Install(InstallOptions{Where: Where{User: true}, Binary: bin})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "go-build123")); err != nil {
		t.Fatal(err)
	}
	if in := List(); len(in) != 1 || !in[0].Usable || filepath.Dir(in[0].Binary) != at {
		t.Errorf("got %+v", in)
	}
}

func TestRefusals(t *testing.T) {
	dir := home(t)
	bin := program(t, filepath.Join(dir, "llama-go"))
	foreign := filepath.Join(dir, "data", "kernels", "python3")
	if err := Write(foreign, Spec{Argv: []string{"python", "-m", "ipykernel"}, Language: "python"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		err  func() error
		want string // in message and hint
	}{
		{"two places", func() error {
			_, err := Install(InstallOptions{Where: Where{User: true, SysPrefix: true}, Binary: bin})
			return err
		}, "one of --user"},
		{"name", func() error {
			_, err := Install(InstallOptions{Where: Where{Name: "../evil"}, Binary: bin})
			return err
		}, "is no kernel name"},
		{"dots", func() error { _, err := Uninstall(Where{Name: ".."}); return err }, "is no kernel name"},
		{"no binary", func() error { _, err := Install(InstallOptions{Binary: filepath.Join(dir, "none")}); return err }, "is not a file"},
		{"another program's", func() error {
			_, err := Install(InstallOptions{Where: Where{Name: "python3"}, Binary: bin})
			return err
		}, "--replace"},
		{"uninstall another program's", func() error { _, err := Uninstall(Where{Name: "python3"}); return err }, "jupyter kernelspec uninstall python3"},
		{"uninstall nothing", func() error { _, err := Uninstall(Where{User: true}); return err }, "nothing is installed"},
	} {
		err := tc.err()
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Error()+" "+e.Hint(), tc.want) {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
	if spec, err := Read(foreign); err != nil || spec.Language != "python" {
		t.Errorf("another program's kernel was touched: %v, %v", spec, err)
	}
	if _, err := Install(InstallOptions{Where: Where{Name: "python3"}, Binary: bin, Replace: true}); err != nil {
		t.Errorf("--replace: %v", err)
	}
	if _, err := Install(InstallOptions{Where: Where{Name: "python3"}, Binary: bin}); err != nil {
		t.Errorf("our own is brought up to date: %v", err)
	}
}

func TestPermissionErrorSuggestsUser(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("the superuser and Windows may write anywhere")
	}
	dir := home(t)
	bin := program(t, filepath.Join(dir, "llama-go"))
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := Install(InstallOptions{Where: Where{Prefix: closed}, Binary: bin})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint(), "--user") {
		t.Errorf("got %v", err)
	}
}

func TestSpecFiles(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, New(WheelArgv0("linux"), "")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"argv":         []any{"{resource_dir}/../../../../bin/llama-go", "kernel", "-f", "{connection_file}"},
		"display_name": "Llama (Go)", "language": "llama", "interrupt_mode": "message",
		"kernel_protocol_version": "5.3.0", "metadata": map[string]any{"debugger": false},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kernel.json %s", data)
	}
	for name, px := range map[string]int{"logo-32x32.png": 32, "logo-64x64.png": 64} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil || img.Bounds().Dx() != px || img.Bounds().Dy() != px {
			t.Errorf("%s: %v, %v", name, img, err)
		}
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "logo-svg.svg")); err != nil || !bytes.HasPrefix(svg, []byte("<svg ")) {
		t.Errorf("svg: %v", err)
	}
}

// The committed logos are what the generator makes.
func TestLogosAreGenerated(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "assets/gen.go", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"logo-svg.svg", "logo-32x32.png", "logo-64x64.png"} {
		a, err := os.ReadFile(filepath.Join("assets", name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: go generate ./kernelspec (%v)", name, err)
		}
	}
}

func TestJupyterSeesIt(t *testing.T) {
	python := os.Getenv("LLAMA_GO_JUPYTER_PYTHON")
	if python == "" {
		t.Skip("LLAMA_GO_JUPYTER_PYTHON names no Python with jupyter_client")
	}
	dir := home(t)
	t.Setenv("JUPYTER_NO_CONFIG", "1")
	bin := program(t, filepath.Join(dir, "opt", "llama-go"))
	prefix := filepath.Join(dir, "prefix")
	t.Setenv("JUPYTER_PATH", filepath.Join(prefix, "share", "jupyter"))
	seen := func(name string) bool {
		t.Helper()
		cmd := exec.Command(python, "-m", "jupyter_client.kernelspecapp", "list", "--json")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("jupyter kernelspec list: %v\n%s", err, errs.Bytes())
		}
		var list struct {
			Kernelspecs map[string]struct {
				ResourceDir string `json:"resource_dir"`
				Spec        Spec   `json:"spec"`
			} `json:"kernelspecs"`
		}
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		k, ok := list.Kernelspecs[name]
		if ok && (k.Spec.InterruptMode != "message" || k.Spec.DisplayName != "A llama") {
			t.Errorf("Jupyter reads %+v", k)
		}
		return ok
	}
	// Names of our own: that Python may have the default one already.
	for _, w := range []Where{{User: true, Name: "user-llama"}, {Prefix: prefix, Name: "other-llama"}} {
		name := w.Name
		if _, err := Install(InstallOptions{Where: w, Binary: bin, DisplayName: "A llama"}); err != nil {
			t.Fatal(err)
		}
		if !seen(name) {
			t.Errorf("Jupyter does not see %s", name)
		}
		if in := List(); len(in) != 1 || in[0].Name != name || !in[0].Usable {
			t.Errorf("list: %+v", in)
		}
		if _, err := Uninstall(w); err != nil {
			t.Fatal(err)
		}
		if seen(name) {
			t.Errorf("Jupyter still sees %s", name)
		}
	}
}
