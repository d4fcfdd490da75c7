package messaging

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// jupyterPython is a Python with jupyter_client.
func jupyterPython(t testing.TB) string {
	t.Helper()
	python := os.Getenv("LLAMA_GO_JUPYTER_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import jupyter_client").CombinedOutput(); err != nil {
		t.Skipf("%s has no jupyter_client (LLAMA_GO_JUPYTER_PYTHON names a Python that has): %v\n%s", python, err, out)
	}
	return python
}

// runPython runs a script of testdata and fails the test when it fails.
func runPython(t testing.TB, env []string, script string, args ...string) {
	t.Helper()
	python := jupyterPython(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
}

// TestJupyterClient drives the kernel with jupyter_client over both transports.
func TestJupyterClient(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		k := &echoKernel{}
		s, err := Listen(testInfo(t, transport), k, Options{})
		if err != nil {
			t.Fatal(err)
		}
		registerEcho(s)
		file := filepath.Join(t.TempDir(), "kernel.json")
		if err := s.Info().Write(file); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(context.Background()) }()
		defer s.Close()
		runPython(t, nil, "jupyter.py", file)
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(3 * time.Second):
			t.Error("Serve goes on after shutdown_request")
		}
		if len(k.shutdowns) != 1 || !k.shutdowns[0] {
			t.Errorf("Shutdown was called with %v, want [true]", k.shutdowns)
		}
	})
}

// TestKernelManager lets jupyter_client start this test binary as a kernel.
func TestKernelManager(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	transports(t, func(t *testing.T, transport string) {
		dir, err := os.MkdirTemp("", "km")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		runPython(t, nil, "manager.py", binary, transport, dir)
	})
}
