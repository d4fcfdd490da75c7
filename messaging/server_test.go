package messaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStuckSubscriber: a subscriber that reads nothing is cut off, and neither
// the running cell nor an honest subscriber notices it.
func TestStuckSubscriber(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		s, _ := testServer(t, transport)
		stuck := rawPeer(t, s.Info(), IOPub, "")
		stuck.send([]byte{1})
		c := testClient(t, s)
		openComm(t, c, "c1")
		if err := c.Subscribe(background(t), "kernel."); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8<<20)
		const n = 40 // 320 MiB: more than a queue
		var longest time.Duration
		for range n {
			start := time.Now()
			if _, err := c.Send(Shell, "comm_msg", map[string]any{"comm_id": "c1"}, nil, buf); err != nil {
				t.Fatal(err)
			}
			wait(t, c, "echo", func(in Incoming) bool { return in.Msg.Header.MsgType == "comm_msg" })
			longest = max(longest, time.Since(start))
		}
		if longest > time.Second {
			t.Errorf("an honest subscriber waited %v", longest)
		}
		if !stuck.closedSoon(stallTime + time.Second) {
			t.Error("the stuck subscriber stays connected")
		}
		id, _ := c.Send(Shell, "execute_request", map[string]any{"code": "echo alive"}, nil)
		wait(t, c, "reply", isReply(id))
	})
}

// TestSlowSubscriberLosesNothing: one that reads little by little gets all, in
// order.
func TestSlowSubscriberLosesNothing(t *testing.T) {
	s, _ := testServer(t, "ipc")
	slow := rawPeer(t, s.Info(), IOPub, "")
	slow.send([]byte{1})
	if m, err := slow.message(); err != nil || !bytes.Contains(bytes.Join(m, nil), []byte("iopub_welcome")) {
		t.Fatalf("welcome: %q, %v", m, err)
	}
	c := testClient(t, s)
	id, _ := c.Send(Shell, "execute_request", map[string]any{"code": "count 20000"}, nil)
	wait(t, c, "reply", isReply(id))
	next := 0
	for {
		m, err := slow.message()
		if err != nil {
			t.Fatalf("after %d: %v", next, err)
		}
		all := string(bytes.Join(m, nil))
		if strings.Contains(all, `"msg_type":"stream"`) {
			if !strings.Contains(all, fmt.Sprintf(`"text":"%d\n"`, next)) {
				t.Fatalf("message %d is %s", next, all)
			}
			if next++; next%1000 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		if next == 20000 && strings.Contains(all, "idle") {
			return
		}
	}
}

// TestEveryRequestEnds sends requests from many clients that come and go: each
// gets its reply, and its idle after everything else.
func TestEveryRequestEnds(t *testing.T) {
	s, _ := testServer(t, "ipc")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				c, err := Dial(ctx, s.Info(), ClientOptions{})
				if err == nil {
					err = c.Subscribe(ctx, "")
				}
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				ids := map[string][]string{} // what each request has had, in order
				for i := range 20 {
					typ := []string{"execute_request", "kernel_info_request", "nonsense"}[i%3]
					id, err := c.Send(Shell, typ, map[string]any{"code": "echo x"}, nil)
					if err != nil {
						t.Error(err)
					}
					ids[id] = []string{typ}
				}
				for idle := 0; idle < 20; {
					select {
					case in := <-c.Messages():
						id := in.Msg.Parent.MsgID
						if _, mine := ids[id]; !mine || in.Channel != IOPub {
							continue
						}
						what := in.Msg.Header.MsgType
						if what == "status" {
							what = string(in.Msg.Content)
							if strings.Contains(what, "idle") {
								idle++
							}
						}
						ids[id] = append(ids[id], what)
					case <-ctx.Done():
						t.Errorf("%d of 20 requests ended", idle)
						idle = 20
					}
				}
				for _, had := range ids {
					if !strings.Contains(had[1], "busy") || !strings.Contains(had[len(had)-1], "idle") {
						t.Errorf("a request had %v", had)
					}
				}
				c.Close()
				cancel()
			}
		})
	}
	wg.Wait()
}

// TestShutdownReplies: the reply and its copy on iopub arrive although the
// server closes right behind them, and a running cell is interrupted.
func TestShutdownReplies(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		for _, ch := range []Channel{Shell, Control} {
			k := &echoKernel{}
			s, err := Listen(testInfo(t, transport), k, Options{})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Serve(context.Background()) }()
			c := testClient(t, s)
			if err := c.Subscribe(background(t), ""); err != nil {
				t.Fatal(err)
			}
			cell, _ := c.Send(Shell, "execute_request", map[string]any{"code": "wait"}, nil)
			wait(t, c, "stream", func(in Incoming) bool { return in.Msg.Header.MsgType == "stream" })
			queued, _ := c.Send(Shell, "execute_request", map[string]any{"code": "echo never"}, nil)
			info, _ := c.Send(Shell, "kernel_info_request", nil, nil)
			wait(t, c, "reply", isReply(info)) // so that the cell is queued
			id, _ := c.Send(ch, "shutdown_request", map[string]bool{"restart": ch == Shell}, nil)
			start := time.Now()
			want := map[string]bool{"reply": true, "copy": true, "idle": true, "cell": true, "queued": true}
			for in := range c.Messages() {
				switch m := in.Msg; {
				case m.Header.MsgType == "shutdown_reply" && in.Channel == ch && m.Parent.MsgID == id:
					delete(want, "reply")
				case m.Header.MsgType == "shutdown_reply" && in.Channel == IOPub && m.Parent.MsgID == id:
					delete(want, "copy")
				case m.Header.MsgType == "status" && m.Parent.MsgID == id && bytes.Contains(m.Content, []byte("idle")):
					delete(want, "idle")
				case m.Header.MsgType == "execute_reply" && m.Parent.MsgID == cell:
					delete(want, "cell")
				case m.Header.MsgType == "execute_reply" && m.Parent.MsgID == queued && bytes.Contains(m.Content, []byte("Aborted")):
					delete(want, "queued")
				}
			}
			if len(want) > 0 {
				t.Errorf("%s: missing %v", ch, want)
			}
			if err := <-done; err != nil || time.Since(start) > 1500*time.Millisecond {
				t.Errorf("Serve: %v after %v", err, time.Since(start))
			}
			if len(k.shutdowns) != 1 || k.shutdowns[0] != (ch == Shell) {
				t.Errorf("Shutdown was called with %v", k.shutdowns)
			}
		}
	})
}

// TestContextEndsServe: ctx ends Serve with its error, and a handler that
// ignores its own ctx does not keep it.
func TestContextEndsServe(t *testing.T) {
	s, err := Listen(testInfo(t, "tcp"), &echoKernel{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	testClient(t, s)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("Serve goes on")
	}
}

// TestInterruptReachesKernel checks all three routes, also between cells.
func TestInterruptReachesKernel(t *testing.T) {
	s, k := testServer(t, "ipc")
	c := testClient(t, s)
	for i, send := range []func() (string, error){
		func() (string, error) { return c.Send(Control, "interrupt_request", nil, nil) },
		func() (string, error) { return c.Send(Shell, "interrupt_request", nil, nil) },
		func() (string, error) { s.Interrupt(); return "", nil },
	} {
		id, err := send()
		if err != nil {
			t.Fatal(err)
		}
		if id != "" {
			wait(t, c, "interrupt_reply", isReply(id))
		}
		k.mu.Lock()
		if k.interrupts != i+1 {
			t.Errorf("route %d: %d interrupts", i, k.interrupts)
		}
		k.mu.Unlock()
	}
}

// TestOutputEndsWithCell: what a cell's goroutine writes later goes nowhere.
func TestOutputEndsWithCell(t *testing.T) {
	s, _ := testServer(t, "tcp")
	c := testClient(t, s)
	if err := c.Subscribe(background(t), ""); err != nil {
		t.Fatal(err)
	}
	out := &Output{s: s, parent: &Message{}}
	out.Stream("stdout", "before")
	out.end()
	out.Stream("stdout", "after")
	s.publishStatus("idle", nil)
	seen := 0
	wait(t, c, "idle", func(in Incoming) bool {
		if in.Msg.Header.MsgType == "stream" {
			seen++
		}
		return in.Msg.Header.MsgType == "status"
	})
	if seen != 1 {
		t.Errorf("%d messages, want 1", seen)
	}
}

// TestSlowHandshakes: a peer that greets byte by byte delays nobody, and is
// closed after 3 s.
func TestSlowHandshakes(t *testing.T) {
	s, _ := testServer(t, "tcp")
	slow := rawDial(t, s.Info(), Shell)
	slow.Write(greeting()[:30])
	start := time.Now()
	testClient(t, s)
	if took := time.Since(start); took > time.Second {
		t.Errorf("an honest client waited %v", took)
	}
	if !slow.closedSoon(handshakeTime+time.Second) || time.Since(start) < handshakeTime-100*time.Millisecond {
		t.Errorf("closed after %v, want %v", time.Since(start), handshakeTime)
	}
}

// TestSlowSenderIsCut: inside a message 64 KiB must come in per 5 s; between
// messages a peer may be silent.
func TestSlowSenderIsCut(t *testing.T) {
	t.Parallel()
	s, _ := testServer(t, "tcp")
	idle := rawPeer(t, s.Info(), Shell, "")
	slow := rawPeer(t, s.Info(), Shell, "")
	slow.Write(promise(0, 1<<20))
	start := time.Now()
	go func() {
		for range 40 {
			time.Sleep(200 * time.Millisecond)
			if _, err := slow.Write([]byte("x")); err != nil {
				return
			}
		}
	}()
	if !slow.closedSoon(stallTime+time.Second) || time.Since(start) < stallTime-100*time.Millisecond {
		t.Errorf("closed after %v, want %v", time.Since(start), stallTime)
	}
	idle.send(signed(s.Info(), "kernel_info_request", map[string]any{})...)
	if _, err := idle.message(); err != nil {
		t.Errorf("the silent peer: %v", err)
	}
}

// TestFullSocketEvictsStrangers: newcomers take the places of connections that
// have signed nothing; one that has signed stays.
func TestFullSocketEvictsStrangers(t *testing.T) {
	s, _ := testServer(t, "tcp")
	honest := testClient(t, s)
	first := rawDial(t, s.Info(), Shell)
	for range maxConns + 20 {
		rawDial(t, s.Info(), Shell)
	}
	if !first.closedSoon(time.Second) {
		t.Error("the oldest stranger stays")
	}
	id, err := honest.Send(Shell, "kernel_info_request", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, honest, "reply", isReply(id))
	testClient(t, s)
	if n := len(s.shell.peers); n > maxConns {
		t.Errorf("%d connections", n)
	}
}
