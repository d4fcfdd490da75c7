package messaging

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// TestMalformedGreeting has the rows of zmq4's own table of malformed peers,
// and those that break it.
func TestMalformedGreeting(t *testing.T) {
	edit := func(at int, b byte) []byte { g := greeting(); g[at] = b; return g }
	for _, tc := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"valid", greeting(), true},
		{"higher minor version", edit(11, 1), true},
		{"higher major version", edit(10, 4), true},
		{"as-server", edit(32, 1), true},
		{"empty", nil, false},
		{"one byte", greeting()[:1], false},
		{"63 bytes", greeting()[:63], false},
		{"signature header", edit(0, 0x7f), false},
		{"signature footer", edit(9, 0xff), false},
		{"version 2", edit(10, 2), false},
		{"mechanism CURVE", append(append(greeting()[:12:12], "CURVE\x00"...), make([]byte, 46)...), false},
		{"as-server 2", edit(32, 2), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := readGreeting(bytes.NewReader(tc.data)); (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func property(name, value string) []byte {
	b := append([]byte{byte(len(name))}, name...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
}

func command(name string, body ...[]byte) []byte {
	frame := append([]byte{byte(len(name))}, name...)
	for _, b := range body {
		frame = append(frame, b...)
	}
	return append(appendFrameHeader(nil, flagCommand, len(frame)), frame...)
}

func TestMalformedReady(t *testing.T) {
	dealer := property("Socket-Type", "DEALER")
	for _, tc := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"valid", command("READY", dealer, property("Identity", "me")), true},
		{"lower case and unknown property", command("READY", property("socket-type", "DEALER"), property("X-a", "b")), true},
		{"long header", append(append(promise(flagCommand, 28), "\x05READY"...), dealer...), true},
		{"empty", nil, false},
		{"message instead", []byte{0, 1, 'x'}, false},
		{"command with MORE", append([]byte{flagCommand | flagMore}, command("READY", dealer)[1:]...), false},
		{"reserved bits", append([]byte{0x84}, command("READY", dealer)[1:]...), false},
		{"2^62 bytes", promise(flagCommand, 1<<62), false},
		{"2^64-1 bytes", promise(flagCommand, 1<<64-1), false},
		{"no name", []byte{flagCommand, 0}, false},
		{"name longer than frame", []byte{flagCommand, 2, 200, 'R'}, false},
		{"ERROR", command("ERROR", []byte("\x02no")), false},
		{"no socket type", command("READY", property("Identity", "me")), false},
		{"unknown socket type", command("READY", property("Socket-Type", "FOO")), false},
		{"wrong socket type", command("READY", property("Socket-Type", "SUB")), false},
		{"property name cut", command("READY", []byte{11, 'S'}), false},
		{"property size cut", command("READY", []byte("\x0bSocket-Type\x00\x00")), false},
		{"property value cut", command("READY", []byte("\x0bSocket-Type\x00\x00\x00\xffDEALER")), false},
		{"property of 4 GiB", command("READY", []byte("\x0bSocket-Type\xff\xff\xff\xffDEALER")), false},
		{"property without a name", command("READY", dealer, property("", "x")), false},
		{"property twice", command("READY", dealer, property("SOCKET-TYPE", "REQ")), false},
		{"identity of 256 bytes", command("READY", dealer, property("Identity", strings.Repeat("x", 256))), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, info, err := readReady(bytes.NewReader(tc.data), zmq4.Router)
			if (err == nil) != tc.ok {
				t.Fatalf("got %v", err)
			}
			if tc.ok && info.socket != zmq4.Dealer {
				t.Errorf("got %+v", info)
			}
		})
	}
}

// TestMalformedMessages sends each row and then a good request on the same
// connection: the row is dropped and counted, the request answered.
func TestMalformedMessages(t *testing.T) {
	s, _ := testServer(t, "tcp")
	info := s.Info()
	good := func() [][]byte { return signed(info, "kernel_info_request", map[string]any{}) }
	edit := func(f func(m [][]byte) [][]byte) [][]byte { return f(good()) }
	resign := func(m [][]byte) [][]byte {
		m[1] = []byte(signer{[]byte(info.Key)}.sign(m[2:6]...))
		return m
	}
	replayed := good()
	deep := []byte(strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000))
	for _, tc := range []struct {
		name    string
		frames  [][]byte
		dropped bool
	}{
		{"identities ahead", append([][]byte{[]byte("a"), {}}, good()...), false},
		{"first use", replayed, false},
		{"replayed", replayed, true},
		{"replayed in upper case", append([][]byte{replayed[0], bytes.ToUpper(replayed[1])}, replayed[2:]...), true},
		{"no delimiter", good()[1:], true},
		{"delimiter alone", good()[:1], true},
		{"two empty frames", [][]byte{{}, {}}, true},
		{"one JSON frame missing", good()[:5], true},
		{"signature empty", edit(func(m [][]byte) [][]byte { m[1] = nil; return m }), true},
		{"signature cut", edit(func(m [][]byte) [][]byte { m[1] = m[1][:63]; return m }), true},
		{"signature not hex", edit(func(m [][]byte) [][]byte { m[1] = bytes.Repeat([]byte("x"), 64); return m }), true},
		{"signature of 64 KB", edit(func(m [][]byte) [][]byte { m[1] = bytes.Repeat([]byte("a"), 64<<10); return m }), true},
		{"signature wrong", edit(func(m [][]byte) [][]byte { m[1][0] ^= 1; return m }), true},
		{"content changed", edit(func(m [][]byte) [][]byte { m[5] = []byte(`{"a":1}`); return m }), true},
		{"buffers after a wrong signature", append(edit(func(m [][]byte) [][]byte { m[1][5] ^= 1; return m }), make([]byte, 3<<20), []byte("x")), true},
		{"header not JSON", edit(func(m [][]byte) [][]byte { m[2] = []byte("{"); return resign(m) }), true},
		{"header a list", edit(func(m [][]byte) [][]byte { m[2] = []byte("[]"); return resign(m) }), true},
		{"header without msg_type", edit(func(m [][]byte) [][]byte { m[2] = []byte("{}"); return resign(m) }), true},
		{"header with a number for msg_type", edit(func(m [][]byte) [][]byte { m[2] = []byte(`{"msg_type":1}`); return resign(m) }), true},
		{"content NaN", edit(func(m [][]byte) [][]byte { m[5] = []byte(`{"a":NaN}`); return resign(m) }), true},
		{"content of depth 100,000", edit(func(m [][]byte) [][]byte { m[5] = deep; return resign(m) }), true},
		{"metadata null", edit(func(m [][]byte) [][]byte { m[4] = []byte("null"); return resign(m) }), true},
		{"delimiter in a buffer", append(good(), delimiter, delimiter), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := rawPeer(t, info, Shell, "")
			before := s.Dropped()
			if err := c.send(tc.frames...); err != nil {
				t.Fatal(err)
			}
			answers := 1
			if !tc.dropped {
				answers = 2
			}
			if err := c.send(good()...); err != nil {
				t.Fatal(err)
			}
			for range answers {
				m, err := c.message()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(bytes.Join(m, nil), []byte("kernel_info_reply")) {
					t.Fatalf("got %q", m)
				}
			}
			if got := s.Dropped() - before; got != int64(2-answers) {
				t.Errorf("dropped %d, want %d", got, 2-answers)
			}
		})
	}
}

// TestLimitsClose sends what exceeds a limit: the connection is closed, before
// the promised bytes are waited for.
func TestLimitsClose(t *testing.T) {
	s, _ := testServer(t, "tcp")
	info := s.Info()
	verified := func(flags byte, size uint64) []byte {
		m := signed(info, "comm_msg", map[string]any{"comm_id": "x"})
		var b []byte
		for _, f := range m {
			b = append(appendFrameHeader(b, flagMore, len(f)), f...)
		}
		return append(b, promise(flags, size)...)
	}
	subscribes := func(n int) []byte {
		var b []byte
		for i := range n {
			topic := fmt.Sprintf("\x01topic %d", i)
			b = append(appendFrameHeader(b, 0, len(topic)), topic...)
		}
		return b
	}
	all := []Channel{Shell, Control, Stdin, IOPub, Heartbeat}
	for _, tc := range []struct {
		name     string
		channels []Channel
		data     []byte
	}{
		{"reserved flag", all, []byte{0x08, 0}},
		{"command with MORE", all, []byte{flagCommand | flagMore, 1, 0}},
		{"2^62 bytes", all, promise(0, 1<<62)},
		{"2^63 bytes", all, promise(0, 1<<63)},
		{"2^64-1 bytes", all, promise(0, 1<<64-1)},
		{"command of 1 MiB", all, promise(flagCommand, 1<<20)},
		{"command without a name", all, []byte{flagCommand, 1, 9}},
		{"PING too long", all, command("PING", make([]byte, 19))},
		{"PING too short", all, command("PING", make([]byte, 1))},
		{"JSON frame of 16 MiB + 1", []Channel{Shell, Control}, promise(0, maxJSON+1)},
		{"stdin frame of 1 MiB + 1", []Channel{Stdin}, promise(0, maxStdinFrame+1)},
		{"heartbeat of 64 KiB + 1", []Channel{Heartbeat}, promise(0, maxHeartbeat+1)},
		{"buffer of 512 MiB + 1", []Channel{Shell}, verified(0, maxShellBuffer+1)},
		{"buffer of 64 MiB + 1", []Channel{Control}, verified(0, maxControlBuffer+1)},
		{"1025 frames", []Channel{Shell, Control, Stdin, Heartbeat}, bytes.Repeat([]byte{flagMore, 0}, maxParts+1)},
		{"subscription of 1 KiB + 1", []Channel{IOPub}, promise(0, maxSubscription+1)},
		{"empty frame on iopub", []Channel{IOPub}, []byte{0, 0}},
		{"stray frame on iopub", []Channel{IOPub}, []byte{0, 2, 'h', 'i'}},
		{"multipart on iopub", []Channel{IOPub}, []byte{flagMore, 1, 1}},
		{"1025 subscriptions", []Channel{IOPub}, subscribes(maxSubscriptions + 1)},
	} {
		for _, ch := range tc.channels {
			t.Run(tc.name+" "+string(ch), func(t *testing.T) {
				c := rawPeer(t, info, ch, "")
				c.Write(tc.data)
				if !c.closedSoon(time.Second) {
					t.Error("the connection stays open")
				}
			})
		}
	}
	t.Run("1024 live subscriptions stay", func(t *testing.T) {
		c := rawPeer(t, info, IOPub, "")
		for i := range 3000 { // never more than one at a time besides the first 1000
			if i < 1000 {
				c.send(fmt.Appendf(nil, "\x01t%d", i))
			} else {
				c.send([]byte("\x01again"))
				c.send([]byte("\x00again"))
			}
			if _, err := c.message(); err != nil {
				t.Fatalf("welcome %d: %v", i, err)
			}
		}
	})
}

// TestPing checks PONG on every socket, with the context repeated.
func TestPing(t *testing.T) {
	s, _ := testServer(t, "ipc")
	for _, ch := range channels {
		c := rawPeer(t, s.Info(), ch, "")
		c.Write(command("PING", []byte("\x00\x10ctx")))
		flags, body, err := c.frame()
		if err != nil || flags != flagCommand || string(body) != "\x04PONGctx" {
			t.Errorf("%s: got %#x %q, %v", ch, flags, body, err)
		}
	}
}

// TestReplyGoesToItsConnection checks routing with two connections of one
// identity, and the way back for a client that has reconnected.
func TestReplyGoesToItsConnection(t *testing.T) {
	s, _ := testServer(t, "tcp")
	info := s.Info()
	a, b := rawPeer(t, info, Shell, "same"), rawPeer(t, info, Shell, "same")
	for _, c := range []*rawConn{a, b, a} {
		c.send(signed(info, "kernel_info_request", map[string]any{})...)
		if _, err := c.message(); err != nil {
			t.Fatal(err)
		}
	}
	a.send(signed(info, "execute_request", map[string]any{"code": "sleep 200ms"})...)
	time.Sleep(50 * time.Millisecond)
	a.Close()
	stranger := rawPeer(t, info, Shell, "same") // newest, but has signed nothing
	m, err := b.message()
	if err != nil || !bytes.Contains(bytes.Join(m, nil), []byte("execute_reply")) {
		t.Errorf("reply after a reconnect: %q, %v", m, err)
	}
	stranger.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := stranger.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection that has signed nothing got something: %v", err)
	}
}

// TestMarshalObject refuses contents that are not objects.
func TestMarshalObject(t *testing.T) {
	for _, v := range []any{1, "x", []int{1}} {
		if _, err := marshalObject(v); !errors.Is(err, ErrJSON) {
			t.Errorf("%v: %v", v, err)
		}
	}
	for _, v := range []any{nil, map[string]any(nil), json.RawMessage("{}"), struct{}{}} {
		if data, err := marshalObject(v); err != nil || string(data) != "{}" {
			t.Errorf("%v: %s, %v", v, data, err)
		}
	}
}
