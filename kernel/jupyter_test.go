package kernel_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/kernelspec"
)

// verdict is what the scripts under testdata/jupyter print last.
type verdict struct {
	Ran     int      `json:"ran"`
	Skipped []string `json:"skipped"`
	Failed  []string `json:"failed"`
}

// jupyter runs a script of testdata/jupyter with a real jupyter_client, which
// starts the real binary with the given kernel flags. smollm2 is in its cache.
func jupyter(t *testing.T, script string, env []string, flags ...string) verdict {
	t.Helper()
	python := os.Getenv("LLAMA_GO_JUPYTER_PYTHON")
	if python == "" {
		t.Skip("LLAMA_GO_JUPYTER_PYTHON names no Python with jupyter_client and jupyter_kernel_test")
	}
	if testing.Short() {
		t.Skip("generates with smollm2")
	}
	model := testdata.SmolLM2(t)
	dir := t.TempDir()
	cached := filepath.Join(dir, "cache", "models", "smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if err := os.MkdirAll(filepath.Dir(cached), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(model, cached); err != nil {
		t.Fatal(err)
	}
	spec := kernelspec.New(binary(t, dir), "")
	spec.Argv = append(spec.Argv, flags...)
	if err := kernelspec.Write(filepath.Join(dir, "share", "jupyter", "kernels", "llama-go"), spec); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join("testdata", "jupyter", script))
	cmd.Env = append(os.Environ(), append(env,
		"JUPYTER_PATH="+filepath.Join(dir, "share", "jupyter"),
		"JUPYTER_RUNTIME_DIR="+filepath.Join(dir, "runtime"),
		"LLAMA_GO_CACHE="+filepath.Join(dir, "cache"),
		"LLAMA_GO_OFFLINE=1",
		"PYTHONDONTWRITEBYTECODE=1",
		"LLAMA_GO_CONNECTION=",
	)...)
	cmd.WaitDelay = time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, log.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var v verdict
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &v); err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out.Bytes(), log.Bytes())
	}
	t.Logf("%s", log.Bytes())
	if len(v.Failed) > 0 {
		t.Errorf("%s: failed: %s", script, strings.Join(v.Failed, ", "))
	}
	return v
}

// binary is LLAMA_GO_BIN, or the program built from this tree.
func binary(t *testing.T, dir string) string {
	t.Helper()
	if b := os.Getenv("LLAMA_GO_BIN"); b != "" {
		return b
	}
	bin := filepath.Join(dir, "llama-go")
	cmd := exec.Command("go", "build", "-o", bin, ".")
	cmd.Dir = testdata.Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// TestConformance runs jupyter_kernel_test 0.7.0: 13 tests, none skipped.
func TestConformance(t *testing.T) {
	v := jupyter(t, "conformance.py", nil, "--in-process")
	if v.Ran != 13 || len(v.Skipped) > 0 {
		t.Errorf("ran %d of 13, skipped %q", v.Ran, v.Skipped)
	}
}

// TestFrontWithJupyterClient is chat, streaming, interrupts, %stop, limits and
// read-only requests meanwhile, as notebook and console send them.
func TestFrontWithJupyterClient(t *testing.T) {
	v := jupyter(t, "front.py", nil, "--in-process")
	if v.Ran < 12 || len(v.Skipped) > 0 {
		t.Errorf("ran %d, skipped %q", v.Ran, v.Skipped)
	}
}

// TestResidentWithJupyterClient is two kernels on one resident, and a
// conversation that outlives its resident.
func TestResidentWithJupyterClient(t *testing.T) {
	runtime, err := os.MkdirTemp("", "lg") // short: it holds sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	v := jupyter(t, "resident.py", []string{"LLAMA_GO_RUNTIME=" + runtime, "LLAMA_GO_IDLE=60s"})
	if v.Ran != 3 || len(v.Skipped) > 0 {
		t.Errorf("ran %d, skipped %q", v.Ran, v.Skipped)
	}
}
