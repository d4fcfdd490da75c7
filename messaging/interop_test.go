package messaging

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
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
	cmd.WaitDelay = 3 * time.Second // a kernel left behind holds the output
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

// TestZMQ4Clients talks to the kernel with zmq4's own sockets.
func TestZMQ4Clients(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		s, _ := testServer(t, transport)
		info := s.Info()
		ctx := background(t)
		connect := func(ch Channel, sock zmq4.Socket) zmq4.Socket {
			t.Helper()
			network, addr := info.address(ch)
			if network == "unix" {
				network = "ipc"
			}
			if err := sock.Dial(network + "://" + addr); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sock.Close() })
			return sock
		}
		dealer := connect(Shell, zmq4.NewDealer(ctx, zmq4.WithID(zmq4.SocketIdentity("z"))))
		if err := dealer.SendMulti(zmq4.NewMsgFrom(signed(info, "kernel_info_request", map[string]any{})...)); err != nil {
			t.Fatal(err)
		}
		if m, err := dealer.Recv(); err != nil || !bytes.Contains(m.Bytes(), []byte("kernel_info_reply")) {
			t.Errorf("DEALER: %q, %v", m.Frames, err)
		}
		req := connect(Heartbeat, zmq4.NewReq(ctx))
		if err := req.Send(zmq4.NewMsgString("ping")); err != nil {
			t.Fatal(err)
		}
		if m, err := req.Recv(); err != nil || string(m.Bytes()) != "ping" {
			t.Errorf("REQ: %q, %v", m.Frames, err)
		}
		sub := connect(IOPub, zmq4.NewSub(ctx))
		if err := sub.SetOption(zmq4.OptionSubscribe, "comm-x"); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Recv(); err != nil || string(m.Frames[0]) != "comm-x" || !bytes.Contains(m.Bytes(), []byte("iopub_welcome")) {
			t.Errorf("SUB: %q, %v", m.Frames, err)
		}
	})
}
