package messaging

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestConnFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	want := NewConnInfo("tcp", "127.0.0.1")
	want.ShellPort, want.KernelName = 5555, "llama-go"
	for range 2 { // the second time it replaces the first
		if err := want.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	got, warnings, err := ReadConnFile(path)
	if err != nil || len(warnings) != 0 || got != want {
		t.Errorf("got %+v, %v, %v", got, warnings, err)
	}
	if st, _ := os.Stat(path); runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o", st.Mode().Perm())
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("temporary files stay: %v", files)
	}
	if NewConnInfo("tcp", "127.0.0.1").Key == want.Key || len(want.Key) != 64 {
		t.Error("keys must be new and of 32 bytes")
	}
}

func TestConnFileRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ name, data, want string }{
		{"not JSON", "hello", "not a JSON object"},
		{"list", "[]", "not a JSON object"},
		{"port of text", `{"transport":"tcp","ip":"127.0.0.1","shell_port":"x"}`, "not a JSON object"},
		{"scheme", `{"transport":"tcp","ip":"127.0.0.1","signature_scheme":"hmac-md5","key":"k"}`, `"hmac-md5"`},
		{"transport", `{"transport":"udp","ip":"127.0.0.1","signature_scheme":"hmac-sha256","key":"k"}`, `"udp"`},
		{"host name", `{"transport":"tcp","ip":"example","signature_scheme":"hmac-sha256","key":"k"}`, `"example"`},
		{"port 65536", `{"transport":"tcp","ip":"::1","shell_port":65536,"signature_scheme":"hmac-sha256","key":"k"}`, "65536"},
		{"port -1", `{"transport":"tcp","ip":"::1","hb_port":-1,"signature_scheme":"hmac-sha256","key":"k"}`, "-1"},
		{"port twice", `{"transport":"tcp","ip":"::1","hb_port":7,"shell_port":7,"signature_scheme":"hmac-sha256","key":"k"}`, "both 7"},
		{"ipc path", `{"transport":"ipc","ip":"/` + strings.Repeat("x", 120) + `","signature_scheme":"hmac-sha256","key":"k"}`, "123 bytes"},
		{"ipc without a path", `{"transport":"ipc","signature_scheme":"hmac-sha256","key":"k"}`, "empty"},
		{"too large", strings.Repeat(" ", maxConnFile+1), "larger"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(dir, "c.json")
			if err := os.WriteFile(path, []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := ReadConnFile(path)
			var c *ConnError
			if !errors.As(err, &c) || c.File != path || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a ConnError with %q", err, tc.want)
			}
		})
	}
	for _, path := range []string{dir, filepath.Join(dir, "absent")} {
		if _, _, err := ReadConnFile(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}

func TestConnFileWarns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := filepath.Join(t.TempDir(), "c.json")
	if err := NewConnInfo("tcp", "::1").Write(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, warnings, err := ReadConnFile(path)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "0644") {
		t.Errorf("got %v, %v", warnings, err)
	}
}

func TestListenRefuses(t *testing.T) {
	k := &echoKernel{}
	for name, edit := range map[string]func(*ConnInfo, *Options){
		"empty key":      func(c *ConnInfo, _ *Options) { c.Key = "" },
		"scheme":         func(c *ConnInfo, _ *Options) { c.SignatureScheme = "hmac-md5" },
		"remote address": func(c *ConnInfo, _ *Options) { c.IP = "0.0.0.0" },
	} {
		info, opt := NewConnInfo("tcp", "127.0.0.1"), Options{}
		edit(&info, &opt)
		var c *ConnError
		if _, err := Listen(info, k, opt); !errors.As(err, &c) || c.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info := NewConnInfo("tcp", "127.0.0.1")
	info.ControlPort = ln.Addr().(*net.TCPAddr).Port
	if _, err := Listen(info, k, Options{}); err == nil || !strings.Contains(err.Error(), "control") {
		t.Errorf("taken port: %v", err)
	}
}

// TestNoKey serves without signatures when that is asked for.
func TestNoKey(t *testing.T) {
	info := NewConnInfo("tcp", "127.0.0.1")
	info.Key = ""
	s, err := Listen(info, &echoKernel{}, Options{AllowNoKey: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(context.Background()) }()
	testClient(t, s).Close()
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestIPCFiles checks modes, stale and foreign files, and that only our own
// sockets go at the end.
func TestIPCFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	base, err := os.MkdirTemp("", "ipc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "d")
	info := NewConnInfo("ipc", filepath.Join(dir, "k"))
	s, err := Listen(info, &echoKernel{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	info = s.Info()
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %04o", st.Mode().Perm())
	}
	for _, ch := range channels {
		_, path := info.address(ch)
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	if _, err := Listen(info, &echoKernel{}, Options{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("the same sockets again: %v", err)
	}
	second := NewConnInfo("ipc", info.IP)
	s2, err := Listen(second, &echoKernel{}, Options{}) // the next free numbers
	if err != nil {
		t.Fatal(err)
	}
	s2.Close()
	_, shell := info.address(Shell)
	if err := os.Remove(shell); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(shell, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != filepath.Base(shell) {
		t.Errorf("left: %v", left)
	}
	if _, err := Listen(info, &echoKernel{}, Options{}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("file in the way: %v", err)
	}
	os.Remove(shell)

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: shell, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	s, err = Listen(info, &echoKernel{}, Options{})
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	s.Close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
