package messaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func transports(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range []string{"tcp", "ipc"} {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestClientExecutes checks the order on iopub and the reply of one cell.
func TestClientExecutes(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		s, _ := testServer(t, transport)
		c := testClient(t, s)
		if err := c.Subscribe(background(t), ""); err != nil {
			t.Fatal(err)
		}
		id, err := c.Send(Shell, "execute_request", map[string]any{"code": "count 50"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		next := 0
		wait(t, c, "idle", func(in Incoming) bool {
			if in.Channel != IOPub || in.Msg.Parent.MsgID != id {
				return false
			}
			f := fields(t, in.Msg)
			if in.Msg.Header.MsgType == "stream" {
				if want := fmt.Sprintf("%d\n", next); f["text"] != want {
					t.Fatalf("stream %q, want %q", f["text"], want)
				}
				next++
				return false
			}
			types = append(types, in.Msg.Header.MsgType)
			return f["execution_state"] == "idle"
		})
		if want := "[status execute_input status]"; fmt.Sprint(types) != want || next != 50 {
			t.Errorf("iopub had %v and %d streams, want %s and 50", types, next, want)
		}
	})
}

// TestCommEchoesBuffers sends small and large buffers there and back.
func TestCommEchoesBuffers(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		s, _ := testServer(t, transport)
		c := testClient(t, s)
		openComm(t, c, "c1")
		for _, size := range []int{0, 1, 255, 256, smallFrame, smallFrame + 1, 64 << 10, 64<<10 + 1, maxAhead, maxAhead + 1, 5*maxAhead + 3} {
			buf := bytes.Repeat([]byte("0123456789abcdef_"), size/17+1)[:size]
			if _, err := c.Send(Shell, "comm_msg", map[string]any{"comm_id": "c1", "data": map[string]int{"n": size}}, nil, buf, []byte("end")); err != nil {
				t.Fatal(err)
			}
			in := wait(t, c, "echo", func(in Incoming) bool { return in.Msg.Header.MsgType == "comm_msg" })
			if b := in.Msg.Buffers; len(b) != 2 || !bytes.Equal(b[0], buf) || string(b[1]) != "end" {
				t.Fatalf("%d bytes: came back different", size)
			}
			if want := fmt.Sprintf(`{"comm_id":"c1","data":{"n":%d}}`, size); string(in.Msg.Content) != want {
				t.Fatalf("content %s, want %s", in.Msg.Content, want)
			}
		}
	})
}

// openComm opens a comm of the target echo and subscribes to its topic.
func openComm(t testing.TB, c *Client, id string) {
	t.Helper()
	if err := c.Subscribe(background(t), "comm-"+id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(Shell, "comm_open", map[string]any{"comm_id": id, "target_name": "echo", "data": map[string]any{}}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestDialRefusesAnotherKey(t *testing.T) {
	s, _ := testServer(t, "tcp")
	info := s.Info()
	info.Key = "another"
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, info, ClientOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want a deadline", err)
	}
	if n := s.Dropped(); n != 1 {
		t.Errorf("server dropped %d messages, want 1", n)
	}
}

// TestClientSeesServerEnd checks that Done is closed soon after the server has
// gone, and that Messages is closed then.
func TestClientSeesServerEnd(t *testing.T) {
	s, _ := testServer(t, "ipc")
	c := testClient(t, s)
	s.Close()
	select {
	case <-c.Done():
	case <-time.After(time.Second):
		t.Fatal("Done is not closed")
	}
	for range c.Messages() {
	}
	if err := c.Err(); !errors.Is(err, ErrConnectionLost) {
		t.Errorf("Err is %v", err)
	}
}

// TestSessions checks Connected and OnDisconnect over two clients of one
// session.
func TestSessions(t *testing.T) {
	s, _ := testServer(t, "tcp")
	gone := make(chan string, 4)
	s.OnDisconnect(func(session string) { gone <- session })
	a := testClient(t, s)
	b, err := Dial(background(t), s.Info(), ClientOptions{Session: a.Session()})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Connected(a.Session()) || s.Connected("nobody") {
		t.Error("Connected is wrong")
	}
	a.Close()
	select {
	case <-gone:
		t.Fatal("disconnect while the second client is connected")
	case <-time.After(50 * time.Millisecond):
	}
	b.Close()
	select {
	case got := <-gone:
		if got != a.Session() || s.Connected(got) {
			t.Errorf("disconnect of %q, connected %v", got, s.Connected(got))
		}
	case <-time.After(time.Second):
		t.Fatal("no disconnect")
	}
}

// TestSendWaitsForTheKernel uploads more than a queue holds, at once: Send
// waits, nothing is cut and nothing is lost.
func TestSendWaitsForTheKernel(t *testing.T) {
	s, _ := testServer(t, "ipc")
	c := testClient(t, s)
	got := make(chan int, 64)
	s.Comms().Register("sink", func(c *Comm, _ *Request) error {
		c.OnMsg(func(r *Request) { time.Sleep(5 * time.Millisecond); got <- len(r.Msg.Buffers[0]) })
		return nil
	})
	if _, err := c.Send(Shell, "comm_open", map[string]any{"comm_id": "s", "target_name": "sink"}, nil); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16<<20)
	const n = 24 // 384 MiB
	for range n {
		if _, err := c.Send(Shell, "comm_msg", map[string]any{"comm_id": "s"}, nil, buf); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		select {
		case size := <-got:
			if size != len(buf) {
				t.Fatalf("%d bytes arrived", size)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a message is lost")
		}
	}
}
