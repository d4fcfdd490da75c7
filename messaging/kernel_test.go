package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// kernelFileEnv makes the test binary a kernel on the connection file that it
// names, so that a real KernelManager can start, interrupt and kill it.
const kernelFileEnv = "LLAMA_GO_TEST_KERNEL"

func TestMain(m *testing.M) {
	if file := os.Getenv(kernelFileEnv); file != "" {
		os.Exit(kernelMain(file))
	}
	// Panics and drops are provoked here by the dozen.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

func kernelMain(file string) int {
	info, warnings, err := ReadConnFile(file)
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, w)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := Listen(info, &echoKernel{}, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	registerEcho(s)
	ints := make(chan os.Signal, 1)
	signal.Notify(ints, os.Interrupt)
	go func() {
		for range ints {
			s.Interrupt()
		}
	}()
	if err := s.Serve(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// echoKernel is a kernel whose cells are commands of one line.
type echoKernel struct {
	mu         sync.Mutex
	cells      []HistoryEntry
	interrupts int
	shutdowns  []bool
}

func (k *echoKernel) Info() KernelInfo {
	return KernelInfo{
		Implementation: "echo", ImplementationVersion: "1", Banner: "echo",
		LanguageInfo: LanguageInfo{Name: "echo", Version: "1", MIMEType: "text/plain", FileExtension: ".txt"},
	}
}

func (k *echoKernel) Execute(ctx context.Context, req *ExecuteRequest, out *Output) ExecuteReply {
	if req.StoreHistory {
		k.mu.Lock()
		k.cells = append(k.cells, HistoryEntry{Session: 1, Line: req.Count, Input: req.Code})
		k.mu.Unlock()
	}
	verb, arg, _ := strings.Cut(req.Code, " ")
	bundle := map[string]any{"text/plain": arg}
	switch verb {
	case "echo":
		out.Stream("stdout", arg)
	case "stderr":
		out.Stream("stderr", arg)
	case "result":
		out.Result(bundle, nil)
	case "display":
		out.Display(bundle, nil, "d1")
		out.UpdateDisplay(map[string]any{"text/plain": arg + "!"}, nil, "d1")
	case "stats": // of this process, for tests that run it in one of its own
		fds, _ := os.ReadDir("/proc/self/fd")
		out.Result(map[string]any{"text/plain": "", "application/json": map[string]int{"goroutines": runtime.NumGoroutine(), "fds": len(fds)}}, nil)
	case "clear":
		out.Clear(true)
	case "count":
		n, _ := strconv.Atoi(arg)
		for i := range n {
			out.Stream("stdout", strconv.Itoa(i)+"\n")
		}
	case "page":
		return ExecuteReply{Payload: []map[string]any{{"source": "page", "data": bundle, "start": 0}}}
	case "meta":
		return ExecuteReply{Metadata: map[string]any{"cell": req.CellID}, UserExpressions: map[string]any{"a": map[string]any{"status": "ok", "data": bundle, "metadata": map[string]any{}}}}
	case "fail", "failslow":
		if verb == "failslow" {
			time.Sleep(50 * time.Millisecond)
		}
		return ExecuteReply{Status: "error", EName: "Failed", EValue: arg, Traceback: []string{"at " + arg}}
	case "panic":
		panic(arg)
	case "nan":
		return ExecuteReply{Metadata: map[string]any{"x": func() {}}}
	case "wait":
		out.Stream("stdout", "waiting")
		<-ctx.Done()
		return ExecuteReply{Status: "error", EName: "KeyboardInterrupt"}
	case "sleep":
		d, _ := time.ParseDuration(arg)
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ExecuteReply{Status: "error", EName: "KeyboardInterrupt"}
		}
	}
	return ExecuteReply{}
}

func (k *echoKernel) Stops(code string) bool { return code == "stop" }

func (k *echoKernel) Complete(_ context.Context, r CompleteRequest) CompleteReply {
	return CompleteReply{Matches: []string{r.Code + "ped"}, CursorEnd: r.CursorPos}
}

func (k *echoKernel) Inspect(_ context.Context, r InspectRequest) InspectReply {
	if r.Code == "panic" {
		panic("inspect")
	}
	return InspectReply{}
}

func (k *echoKernel) IsComplete(_ context.Context, r IsCompleteRequest) IsCompleteReply {
	if strings.HasSuffix(r.Code, "\\") {
		return IsCompleteReply{Status: "incomplete", Indent: "  "}
	}
	return IsCompleteReply{Status: "complete"}
}

func (k *echoKernel) History(_ context.Context, r HistoryRequest) HistoryReply {
	k.mu.Lock()
	defer k.mu.Unlock()
	return HistoryReply{History: k.cells[max(0, len(k.cells)-r.N):]}
}

func (k *echoKernel) Interrupt() {
	k.mu.Lock()
	k.interrupts++
	k.mu.Unlock()
}

func (k *echoKernel) Shutdown(restart bool) {
	k.mu.Lock()
	k.shutdowns = append(k.shutdowns, restart)
	k.mu.Unlock()
}

// registerEcho lets clients open comms of the target echo: every message comes
// back with its data and buffers.
func registerEcho(s *Server) {
	s.Comms().Register("echo", func(c *Comm, open *Request) error {
		c.OnMsg(func(r *Request) {
			if err := c.Send(r.Msg, r.CommData(), r.Msg.Buffers...); err != nil {
				panic(err)
			}
		})
		return nil
	})
	s.Comms().Register("refused", func(*Comm, *Request) error { return fmt.Errorf("not today") })
}

// testServer serves an echoKernel until the test ends.
func testServer(t testing.TB, transport string) (*Server, *echoKernel) {
	t.Helper()
	k := &echoKernel{}
	s, err := Listen(testInfo(t, transport), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	registerEcho(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, k
}

// testInfo has all ports 0 and, for ipc, a short folder of its own.
func testInfo(t testing.TB, transport string) ConnInfo {
	t.Helper()
	if transport == "tcp" {
		return NewConnInfo("tcp", "127.0.0.1")
	}
	dir, err := os.MkdirTemp("", "msg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return NewConnInfo("ipc", filepath.Join(dir, "k"))
}

func testClient(t testing.TB, s *Server) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := Dial(ctx, s.Info(), ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wait takes messages until one satisfies ok.
func wait(t testing.TB, c *Client, what string, ok func(Incoming) bool) Incoming {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case in, open := <-c.Messages():
			if !open {
				t.Fatalf("client ended while waiting for %s: %v", what, c.Err())
			}
			if ok(in) {
				return in
			}
		case <-timeout:
			t.Fatalf("no %s within 10 s", what)
		}
	}
}

func isReply(id string) func(Incoming) bool {
	return func(in Incoming) bool { return in.Channel != IOPub && in.Msg.Parent.MsgID == id }
}

func fields(t testing.TB, m *Message) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(m.Content, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
