package kernelspec

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/internal/units"
)

// Status is a check's verdict.
type Status string

// The verdicts: Warn limits what works, Fail keeps the kernel from working.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "FAIL"
)

// Check is one line of a report; Fix says what to do unless it is OK.
type Check struct {
	Name   string
	Status Status
	Detail string
	Fix    string
}

// Report is what Doctor found.
type Report []Check

// Failed says whether any check did.
func (r Report) Failed() bool {
	for _, c := range r {
		if c.Status == Fail {
			return true
		}
	}
	return false
}

// String is one block to paste.
func (r Report) String() string {
	width := 0
	for _, c := range r {
		width = max(width, len(c.Name))
	}
	var b strings.Builder
	for _, c := range r {
		lines := strings.Split(c.Detail, "\n")
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", c.Status, width, c.Name, lines[0])
		for _, l := range lines[1:] {
			fmt.Fprintf(&b, "%*s%s\n", width+8, "", l)
		}
		if c.Status != OK && c.Fix != "" {
			fmt.Fprintf(&b, "%*s→ %s\n", width+8, "", c.Fix)
		}
	}
	return b.String()
}

// DoctorOptions bring what this package may not import.
type DoctorOptions struct {
	Version string
	// Compute says which unit multiplies which weights, and why, in lines.
	Compute []string
	// AvailableMemory is what a process may still take in bytes, control groups
	// counted; nil or false: not known.
	AvailableMemory func() (int64, bool)
	// Residents describes each running resident in one line; nil: not looked at.
	Residents func(ctx context.Context) ([]string, error)
}

// Doctor examines the machine. Nothing is changed and no model is opened.
func Doctor(ctx context.Context, opt DoctorOptions) Report {
	r := Report{
		checkProgram(opt.Version),
		checkCPU(opt.Compute),
		checkMemory(opt.AvailableMemory),
		checkKernelspec(),
	}
	r = append(r, checkPython(ctx)...)
	return append(r, checkSockets(), checkModels(), checkResidents(ctx, opt.Residents))
}

func checkProgram(version string) Check {
	exe, err := os.Executable()
	if err != nil {
		exe = "path unknown: " + err.Error()
	}
	return Check{"llama-go", OK, fmt.Sprintf("%s, %s %s/%s\n%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, exe), ""}
}

// checkCPU tells what computes, a line for each of lines.
func checkCPU(lines []string) Check {
	detail := fmt.Sprintf("%d threads to use", runtime.GOMAXPROCS(0))
	if t := os.Getenv("LLAMA_GO_THREADS"); t != "" {
		detail += ", LLAMA_GO_THREADS=" + t
	}
	for _, l := range lines {
		detail += "\n" + l
	}
	return Check{"cpu", OK, detail, ""}
}

// smallMemory is what the smallest known model needs with room to spare.
const smallMemory = 512 << 20

func checkMemory(available func() (int64, bool)) Check {
	if available != nil {
		if n, ok := available(); ok {
			c := Check{"memory", OK, units.Bytes(n) + " available to a new process (control groups counted)", ""}
			if n < smallMemory {
				c.Status, c.Fix = Warn, "smollm2 needs about 0.5 GB: end something, or raise the container's limit"
			}
			return c
		}
	}
	return Check{"memory", Warn, "what is available cannot be told here", "models are loaded without a check of memory"}
}

func checkKernelspec() Check {
	found := List()
	if len(found) == 0 {
		return Check{"kernelspec", Warn, "Jupyter finds no llama-go kernel", "llama-go install --user"}
	}
	c := Check{"kernelspec", OK, "", ""}
	var lines []string
	for i, in := range found {
		line := in.Name + " in " + in.Dir
		if !in.Usable {
			line += "\n  starts " + in.Binary + ", which is not there"
			if i == 0 { // the one that Jupyter takes
				c.Status, c.Fix = Fail, "llama-go install --user, or pip install the package again"
			}
		}
		lines = append(lines, line)
	}
	c.Detail = strings.Join(lines, "\n")
	return c
}

// distributions are the Python packages whose versions a report tells.
var distributions = []string{"llama-go", "jupyter_client", "jupyter_core", "ipykernel", "jupyter_console", "jupyterlab"}

func checkPython(ctx context.Context) []Check {
	python, err := findPython()
	if err != nil {
		return []Check{{"python", Warn, "no python3 on the path", "install Python 3.10 or newer, or set LLAMA_GO_PYTHON"}}
	}
	const script = `import sys, importlib.metadata as m
print("%d.%d.%d" % sys.version_info[:3], sys.prefix)
for d in sys.argv[1:]:
    try: print(d, m.version(d))
    except m.PackageNotFoundError: pass`
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, append([]string{"-c", script}, distributions...)...).Output()
	if err != nil {
		return []Check{{"python", Warn, fmt.Sprintf("%s does not run: %v", python, err), "set LLAMA_GO_PYTHON to a working Python"}}
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	py := Check{"python", OK, fmt.Sprintf("%s, %s", python, lines[0]), ""}
	jup := Check{"jupyter", OK, strings.Join(lines[1:], ", "), ""}
	if !strings.Contains(jup.Detail, "jupyter_client ") {
		jup.Status, jup.Fix = Warn, python+" -m pip install jupyterlab jupyter-console"
		if jup.Detail == "" {
			jup.Detail = "not in this Python"
		}
	}
	return []Check{py, jup}
}

// checkSockets binds what a kernel binds.
func checkSockets() Check {
	fail := func(what string, err error) Check {
		return Check{"sockets", Fail, what + ": " + err.Error(), "a kernel needs local sockets: look at the sandbox or container"}
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail("127.0.0.1", err)
	}
	defer tcp.Close()
	if runtime.GOOS == "windows" {
		return Check{"sockets", OK, "tcp on 127.0.0.1", ""}
	}
	dir, err := os.MkdirTemp("", "llama-go")
	if err != nil {
		return fail("temporary folder", err)
	}
	defer os.RemoveAll(dir)
	ipc, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return fail("unix socket", err)
	}
	defer ipc.Close()
	return Check{"sockets", OK, "tcp on 127.0.0.1, unix sockets", ""}
}

func checkModels() Check {
	list, err := store.List()
	if err != nil {
		return Check{"models", Warn, err.Error(), "set LLAMA_GO_CACHE"}
	}
	var lines []string
	for _, m := range list {
		if m.Pulled {
			lines = append(lines, fmt.Sprintf("%s, %s in %s", m.Name, units.Bytes(m.Bytes), m.Path))
		} else {
			lines = append(lines, m.Name+" is not pulled yet")
		}
	}
	if store.Offline() {
		lines = append(lines, "LLAMA_GO_OFFLINE forbids pulling")
	}
	return Check{"models", OK, strings.Join(lines, "\n"), ""}
}

func checkResidents(ctx context.Context, residents func(context.Context) ([]string, error)) Check {
	if residents == nil {
		return Check{"resident", OK, "not looked at", ""}
	}
	lines, err := residents(ctx)
	if err != nil {
		return Check{"resident", Warn, err.Error(), "llama-go logs"}
	}
	if len(lines) == 0 {
		return Check{"resident", OK, "none runs; the first use starts it", ""}
	}
	return Check{"resident", OK, strings.Join(lines, "\n"), ""}
}
