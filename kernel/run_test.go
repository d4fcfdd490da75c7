//go:build unix

package kernel_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/llama-go/llama-go/messaging"
)

// startKernel starts `llama-go kernel --in-process` as Jupyter would, with
// ports of 0, and waits until it has bound them.
func startKernel(t *testing.T, env ...string) (*exec.Cmd, messaging.ConnInfo, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "kernel.json")
	if err := messaging.NewConnInfo("tcp", "127.0.0.1").Write(file); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t, dir), "kernel", "-f", file, "--in-process")
	cmd.Env = append(append(os.Environ(), "JPY_PARENT_PID="), env...)
	log := &bytes.Buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for range 500 {
		if info, _, err := messaging.ReadConnFile(file); err == nil && info.ShellPort != 0 {
			return cmd, info, log
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the connection file got no ports\n%s", log)
	return nil, messaging.ConnInfo{}, nil
}

// ended waits for a clean exit.
func ended(t *testing.T, cmd *exec.Cmd, log *bytes.Buffer, within time.Duration) {
	t.Helper()
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("exit: %v\n%s", err, log)
		}
		t.Logf("gone after %v", time.Since(start).Round(time.Millisecond))
	case <-time.After(within):
		t.Errorf("still there after %v", within)
	}
}

func TestSignals(t *testing.T) {
	cmd, info, log := startKernel(t)
	for range 3 { // an interrupt never ends it
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	c, err := messaging.Dial(t.Context(), info, messaging.ClientOptions{})
	if err != nil {
		t.Fatalf("after SIGINT: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd, log, 2500*time.Millisecond)
}

// TestParentWatch kills the process that JPY_PARENT_PID names. Once it is not
// this kernel's real parent, which only a pidfd tells; once it is.
func TestParentWatch(t *testing.T) {
	t.Run("named", func(t *testing.T) {
		parent := exec.Command("sleep", "60")
		if err := parent.Start(); err != nil {
			t.Skipf("no sleep: %v", err)
		}
		cmd, _, log := startKernel(t, "JPY_PARENT_PID="+strconv.Itoa(parent.Process.Pid))
		time.Sleep(100 * time.Millisecond)
		if err := parent.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = parent.Wait()
		ended(t, cmd, log, 1500*time.Millisecond)
	})
	t.Run("real", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "kernel.json")
		if err := messaging.NewConnInfo("tcp", "127.0.0.1").Write(file); err != nil {
			t.Fatal(err)
		}
		shell := exec.Command("sh", "-c", `JPY_PARENT_PID=$$ "$0" kernel -f "$1" --in-process & echo $!; wait`, binary(t, dir), file)
		out, err := shell.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := shell.Start(); err != nil {
			t.Skipf("no sh: %v", err)
		}
		line, _, err := bufio.NewReader(out).ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(string(line))
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if info, _, err := messaging.ReadConnFile(file); err == nil && info.ShellPort != 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := shell.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = shell.Wait()
		start := time.Now()
		for running(pid) {
			if time.Since(start) > 1500*time.Millisecond {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Fatal("the orphan is still there after 1.5 s")
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("gone after %v", time.Since(start).Round(time.Millisecond))
	})
}

// running says whether a process runs; one that waits to be reaped does not.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true // not Linux
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

func TestKernelRefusesABadConnectionFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "kernel.json")
	if err := os.WriteFile(file, []byte(`{"transport":"tcp"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := binary(t, dir)
	for _, f := range []string{file, filepath.Join(dir, "none.json")} {
		out, err := exec.Command(bin, "kernel", "-f", f, "--in-process").CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte(filepath.Base(f))) {
			t.Errorf("%s: %v, %s", f, err, out)
		}
	}
}
