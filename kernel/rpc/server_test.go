package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire joins a Client and a Peer in this process, through JSON as over a comm.
type wire struct {
	t      *testing.T
	mu     sync.Mutex
	peer   *Peer[*echoState]
	client *Client
	first  chan Message // hello or refusal
	cut    bool         // what the server sends is lost
	sent   []Message    // by the server
}

type echoState struct{ calls atomic.Int64 }

func toJSON(t *testing.T, v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return raw
}

// serverEnd is the server's Conn, clientEnd the client's.
type (
	serverEnd struct{ *wire }
	clientEnd struct{ *wire }
)

func (w serverEnd) Send(_ any, data any, buffers [][]byte) error {
	raw := toJSON(w.t, data)
	var m Message
	if err := json.Unmarshal(raw, &m); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	w.sent = append(w.sent, m)
	cut, client := w.cut, w.client
	w.mu.Unlock()
	if m.Method == MethodHello || m.Method == MethodRefused {
		w.first <- m
		return nil
	}
	if !cut && client != nil {
		client.Receive(raw, buffers)
	}
	return nil
}

func (w serverEnd) Close(any, any) error { return nil }

func (w clientEnd) Send(control bool, data any, buffers [][]byte) error {
	w.peer.Receive(Incoming{Data: toJSON(w.t, data), Buffers: buffers}, control)
	return nil
}

func (w *wire) finals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, m := range w.sent {
		if m.Method == "" {
			n++
		}
	}
	return n
}

func testServer() *Server[*echoState] {
	s := &Server[*echoState]{
		Info: ServerInfo{Version: "1.2.3", PID: 1}, Lease: time.Second, Log: slog.New(slog.DiscardHandler),
		MapError: func(err error) *Error {
			return &Error{CodeFailed, err.Error(), ErrorData{Kind: KindInternal}}
		},
	}
	type P struct {
		Name  string `json:"name"`
		Sleep int    `json:"sleep"` // ms
	}
	Handle(s, "echo", Options[P]{Buffers: 0}, func(ctx context.Context, st *echoState, c *Call, p P) (string, error) {
		st.calls.Add(1)
		c.Progress(map[string]any{"id": c.ID, "half": p.Name})
		return p.Name, nil
	})
	Handle(s, "wait", Options[P]{Aborted: func(p *P) any { return "aborted " + p.Name }}, func(ctx context.Context, _ *echoState, _ *Call, p P) (string, error) {
		<-ctx.Done()
		return "partial " + p.Name, nil
	})
	Handle(s, "hang", Options[P]{}, func(ctx context.Context, _ *echoState, _ *Call, _ P) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	var mu sync.Mutex
	var order []string
	Handle(s, "ordered", Options[P]{Order: func(p *P) string { return "q" }}, func(ctx context.Context, _ *echoState, _ *Call, p P) ([]string, error) {
		if p.Sleep > 0 {
			select {
			case <-time.After(time.Duration(p.Sleep) * time.Millisecond):
			case <-ctx.Done():
			}
		}
		mu.Lock()
		defer mu.Unlock()
		order = append(order, p.Name)
		return append([]string{}, order...), nil
	})
	Handle(s, "double", Options[P]{Buffers: 1}, func(_ context.Context, _ *echoState, c *Call, p P) (Tensor, error) {
		b := append(append([]byte{}, c.Buffers[0]...), c.Buffers[0]...)
		return c.Attach("uint8", []int{len(b)}, b), nil
	})
	Handle(s, "panic", Options[P]{}, func(context.Context, *echoState, *Call, P) (Empty, error) { panic("boom") })
	Handle(s, "fail", Options[P]{}, func(context.Context, *echoState, *Call, P) (Empty, error) { return Empty{}, errors.New("no") })
	Handle(s, "nan", Options[P]{}, func(context.Context, *echoState, *Call, P) (any, error) { return func() {}, nil })
	return s
}

func connect(t *testing.T, s *Server[*echoState], open any) (*wire, Message) {
	t.Helper()
	w := &wire{t: t, first: make(chan Message, 1)}
	peer, err := s.Accept(serverEnd{w}, Incoming{Data: toJSON(t, open)}, func(ClientInfo) *echoState { return &echoState{} })
	m := <-w.first
	if err != nil {
		return w, m
	}
	w.peer = peer
	c := NewClient(clientEnd{w})
	w.mu.Lock()
	w.client = c
	w.mu.Unlock()
	t.Cleanup(peer.Close)
	return w, m
}

func goodOpen() Open { return Open{Protocol: ProtocolVersion, Client: ClientInfo{Name: "test"}} }

func TestHello(t *testing.T) {
	_, m := connect(t, testServer(), goodOpen())
	var h Hello
	if err := json.Unmarshal(m.Params, &h); err != nil || m.Method != MethodHello || h.LeaseMS != 1000 || h.Server.Version != "1.2.3" {
		t.Errorf("got %+v %+v %v", m, h, err)
	}
}

func TestVersionMismatchNamesTheCommand(t *testing.T) {
	for _, tc := range []struct {
		open any
		want string
	}{
		{map[string]any{"protocol": ProtocolVersion - 1, "who": 1}, "pip install -U llama-go"},
		{map[string]any{"protocol": ProtocolVersion + 1, "client": map[string]any{"new_field": 1}}, "llama-go stop --all"},
	} {
		_, m := connect(t, testServer(), tc.open)
		var e Error
		if err := json.Unmarshal(m.Params, &e); err != nil || m.Method != MethodRefused || e.Data.Kind != KindProtocol || !strings.Contains(e.Data.Hint, tc.want) {
			t.Errorf("got %s %+v %v, want a hint with %q", m.Method, e, err, tc.want)
		}
	}
	for _, bad := range []any{"text", map[string]any{"protocol": ProtocolVersion, "extra": 1}, nil} {
		if _, m := connect(t, testServer(), bad); m.Method != MethodRefused {
			t.Errorf("%v: got %s", bad, m.Method)
		}
	}
}

func TestCallProgressAndAck(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	var got string
	var half []string
	_, err := w.client.Call(t.Context(), "echo", map[string]any{"name": "x"}, &got, CallOptions{Progress: func(raw json.RawMessage) { half = append(half, string(raw)) }})
	if err != nil || got != "x" || len(half) != 1 {
		t.Fatalf("got %q %v %v", got, half, err)
	}
	waitFor(t, "the ack frees the final", func() bool {
		w.peer.mu.Lock()
		defer w.peer.mu.Unlock()
		return len(w.peer.held) == 0 && w.peer.heldBytes == 0
	})
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 5 s: " + what)
		}
	}
}

func TestErrors(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	for _, tc := range []struct {
		method string
		params any
		bufs   [][]byte
		code   int
		want   string
	}{
		{"nothing", map[string]any{}, nil, CodeMethodNotFound, `unknown method "nothing"`},
		{"echo", map[string]any{"nme": "x"}, nil, CodeInvalidParams, `unknown field "nme"`},
		{"echo", map[string]any{"name": 3}, nil, CodeInvalidParams, "cannot unmarshal number"},
		{"echo", map[string]any{}, [][]byte{{1}}, CodeInvalidParams, "1 binary buffers, expected 0"},
		{"double", map[string]any{}, nil, CodeInvalidParams, "0 binary buffers, expected 1"},
		{"panic", map[string]any{}, nil, CodeInternal, "internal error: boom"},
		{"fail", map[string]any{}, nil, CodeFailed, "no"},
		{"nan", map[string]any{}, nil, CodeInternal, "cannot be written as JSON"},
	} {
		_, err := w.client.Call(t.Context(), tc.method, tc.params, nil, CallOptions{Buffers: tc.bufs})
		var e *Error
		if !errors.As(err, &e) || e.Code != tc.code || !strings.Contains(e.Message, tc.want) {
			t.Errorf("%s: got %v, want %d %q", tc.method, err, tc.code, tc.want)
		}
	}
	if n := w.peer.Requests(); n != 0 {
		t.Errorf("%d requests run still", n)
	}
	if n := w.peer.server.active.Load(); n != 0 {
		t.Errorf("%d requests are active still", n)
	}
}

func TestBuffers(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	var d Tensor
	bufs, err := w.client.Call(t.Context(), "double", map[string]any{}, &d, CallOptions{Buffers: [][]byte{{1, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := d.Take(bufs); err != nil || string(b) != "\x01\x02\x01\x02" {
		t.Errorf("got %v %v", b, err)
	}
}

func TestNotARequest(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	for _, raw := range []string{
		`5`, `{}`, `{"jsonrpc":"1.0","id":1,"method":"echo"}`, `{"jsonrpc":"2.0","id":1}`, `{"jsonrpc":"2.0","id":"a","method":"echo"}`,
		`{"jsonrpc":"2.0","id":1.5,"method":"echo"}`, `{"jsonrpc":"2.0","id":1,"method":"echo","result":1}`,
	} {
		before := w.finals()
		w.peer.Receive(Incoming{Data: json.RawMessage(raw)}, false)
		waitFor(t, "an answer to "+raw, func() bool { return w.finals() == before+1 })
		w.mu.Lock()
		last := w.sent[len(w.sent)-1]
		w.mu.Unlock()
		if last.ID != nil || last.Error == nil || last.Error.Code != CodeInvalidRequest {
			t.Errorf("%s: got %+v", raw, last)
		}
	}
	// Unknown notifications are ignored.
	before := w.finals()
	w.peer.Receive(Incoming{Data: json.RawMessage(`{"jsonrpc":"2.0","method":"$/new"}`)}, false)
	if _, err := w.client.Call(t.Context(), "echo", map[string]any{}, nil, CallOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.finals() != before+1 {
		t.Error("the notification was answered")
	}
}

func TestCancel(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var got string
	if _, err := w.client.Call(ctx, "wait", map[string]any{"name": "x"}, &got, CallOptions{}); err != nil || got != "partial x" {
		t.Errorf("got %q %v, want the partial result", got, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := w.client.Call(ctx, "hang", map[string]any{}, nil, CallOptions{})
	var e *Error
	if !errors.As(err, &e) || e.Data.Kind != KindCancelled || e.Code != CodeCancelled {
		t.Errorf("got %v", err)
	}
}

func TestCancelThatComesFirst(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	send := func(control bool, raw string) { w.peer.Receive(Incoming{Data: json.RawMessage(raw)}, control) }
	send(true, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":77}}`)
	send(true, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":78}}`)
	send(false, `{"jsonrpc":"2.0","id":77,"method":"wait","params":{"name":"x"}}`)
	send(false, `{"jsonrpc":"2.0","id":78,"method":"hang"}`)
	waitFor(t, "both answers", func() bool { return w.finals() == 2 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.sent[1:] {
		switch *m.ID {
		case 77:
			if string(m.Result) != `"aborted x"` {
				t.Errorf("got %s", m.Result)
			}
		case 78:
			if m.Error == nil || m.Error.Data.Kind != KindCancelled {
				t.Errorf("got %+v", m)
			}
		}
	}
}

func TestRememberedCancelsAreBounded(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	for i := range 3 * maxCancels {
		w.peer.Receive(Incoming{Data: json.RawMessage(fmt.Sprintf(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":%d}}`, i))}, true)
	}
	w.peer.mu.Lock()
	defer w.peer.mu.Unlock()
	if n := len(w.peer.cancels); n != maxCancels || w.peer.cancels[n-1] != 3*maxCancels-1 {
		t.Errorf("%d cancels are remembered", n)
	}
}

func TestIDInUse(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	send := func(raw string) { w.peer.Receive(Incoming{Data: json.RawMessage(raw)}, false) }
	send(`{"jsonrpc":"2.0","id":5,"method":"hang"}`)
	send(`{"jsonrpc":"2.0","id":5,"method":"echo"}`)
	waitFor(t, "the second one's answer", func() bool { return w.finals() == 1 })
	w.mu.Lock()
	m := w.sent[len(w.sent)-1]
	w.mu.Unlock()
	if m.ID != nil || m.Error == nil || !strings.Contains(m.Error.Message, "id 5 is in use") {
		t.Errorf("got %+v", m)
	}
	if w.peer.Requests() != 1 {
		t.Error("the first one is gone")
	}
}

func TestOrderedQueue(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	// The first is slow, the second cancelled while it waits; the third must
	// still come after the first.
	send := func(control bool, raw string) { w.peer.Receive(Incoming{Data: json.RawMessage(raw)}, control) }
	send(false, `{"jsonrpc":"2.0","id":1,"method":"ordered","params":{"name":"a","sleep":50}}`)
	send(false, `{"jsonrpc":"2.0","id":2,"method":"ordered","params":{"name":"b"}}`)
	send(false, `{"jsonrpc":"2.0","id":3,"method":"ordered","params":{"name":"c"}}`)
	waitFor(t, "three requests", func() bool { return w.peer.Requests() == 3 })
	send(true, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}`)
	waitFor(t, "three answers", func() bool { return w.finals() == 3 })
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for _, m := range w.sent[1:] {
		if m.Error != nil {
			got = append(got, string(m.Error.Data.Kind))
			continue
		}
		got = append(got, string(m.Result))
	}
	if want := `[cancelled ["a"] ["a","c"]]`; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	waitFor(t, "empty queues", func() bool {
		w.peer.mu.Lock()
		defer w.peer.mu.Unlock()
		return len(w.peer.queues) == 0
	})
}

func TestResumeAfterACut(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	done := make(chan error, 1)
	var got string
	go func() {
		_, err := w.client.Call(t.Context(), "echo", map[string]any{"name": "kept"}, &got, CallOptions{})
		done <- err
	}()
	waitFor(t, "the lost final", func() bool { return w.finals() == 1 })
	w.mu.Lock()
	w.cut = false
	w.mu.Unlock()
	if err := w.client.Resume(clientEnd{w}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || got != "kept" {
		t.Errorf("got %q %v", got, err)
	}
	if n := w.peer.State.calls.Load(); n != 1 {
		t.Errorf("the request ran %d times", n)
	}
	// An id that never came is answered with a typed error.
	before := w.finals()
	w.peer.Receive(Incoming{Data: json.RawMessage(`{"jsonrpc":"2.0","method":"$/resume","params":{"ids":[99]}}`)}, false)
	waitFor(t, "an answer for id 99", func() bool { return w.finals() == before+1 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.sent[len(w.sent)-1]; *m.ID != 99 || m.Error == nil || m.Error.Data.Kind != KindKernelGone {
		t.Errorf("got %+v", m)
	}
}

func TestHeldFinalsAreBounded(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	n := maxHeld + 10
	for i := range n {
		w.peer.Receive(Incoming{Data: json.RawMessage(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"nothing"}`, i+1))}, false)
		if i%500 == 499 {
			waitFor(t, "answers", func() bool { return w.finals() >= i })
		}
	}
	waitFor(t, "all answers", func() bool { return w.finals() == n })
	w.peer.mu.Lock()
	defer w.peer.mu.Unlock()
	if len(w.peer.held) > maxHeld || len(w.peer.heldOrder) > maxHeld {
		t.Errorf("%d finals are held, %d in order", len(w.peer.held), len(w.peer.heldOrder))
	}
	if _, ok := w.peer.held[int64(n)]; !ok {
		t.Error("the newest is not held")
	}
}

func TestTooManyRequests(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	for i := range maxRunning + 5 {
		w.peer.Receive(Incoming{Data: json.RawMessage(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"hang"}`, i+1))}, false)
	}
	waitFor(t, "5 refusals", func() bool { return w.finals() == 5 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.sent[1:] {
		if m.Error == nil || m.Error.Data.Kind != KindBusy || *m.ID <= maxRunning {
			t.Errorf("got %+v", m)
		}
	}
}

func TestTooManyRequestsOfAllClients(t *testing.T) {
	s := testServer()
	w, _ := connect(t, s, goodOpen())
	s.active.Add(maxActive)
	defer s.active.Add(-maxActive)
	_, err := w.client.Call(t.Context(), "echo", map[string]any{}, nil, CallOptions{})
	var e *Error
	if !errors.As(err, &e) || e.Data.Kind != KindBusy {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsRequests(t *testing.T) {
	s := testServer()
	w, _ := connect(t, s, goodOpen())
	w.peer.Receive(Incoming{Data: json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"hang"}`)}, false)
	waitFor(t, "the request", func() bool { return w.peer.Requests() == 1 })
	w.peer.Close()
	if w.peer.Requests() != 0 || s.active.Load() != 0 || w.finals() != 0 {
		t.Errorf("%d run, %d active, %d answers", w.peer.Requests(), s.active.Load(), w.finals())
	}
	w.peer.Receive(Incoming{Data: json.RawMessage(`{"jsonrpc":"2.0","id":2,"method":"hang"}`)}, false)
	if w.peer.Requests() != 0 {
		t.Error("a closed peer took a request")
	}
}

func TestFailEndsCalls(t *testing.T) {
	w, _ := connect(t, testServer(), goodOpen())
	done := make(chan error, 1)
	go func() {
		_, err := w.client.Call(context.Background(), "hang", map[string]any{}, nil, CallOptions{})
		done <- err
	}()
	waitFor(t, "the call", func() bool { return w.peer.Requests() == 1 })
	w.client.Fail(Gone("test"))
	var e *Error
	if err := <-done; !errors.As(err, &e) || e.Data.Kind != KindKernelGone {
		t.Errorf("got %v", err)
	}
	if _, err := w.client.Call(t.Context(), "echo", map[string]any{}, nil, CallOptions{}); !errors.As(err, &e) || e.Data.Kind != KindKernelGone {
		t.Errorf("a later call: got %v", err)
	}
}
