package messaging

import (
	"bytes"
	"encoding/json"

	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// memConn is a connection whose peer has sent some bytes and closed its side.
type memConn struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memConn) Read(p []byte) (int, error)         { return c.in.Read(p) }
func (c *memConn) Write(p []byte) (int, error)        { return c.out.Write(p) }
func (c *memConn) Close() error                       { return nil }
func (c *memConn) SetReadDeadline(time.Time) error    { return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { return nil }

// fuzzInfo has the key that signs the messages of FuzzMessages.
var fuzzInfo = ConnInfo{Key: "fuzz"}

// FuzzMessages reads a stream of frames as shell does. What comes out must be
// what a signed message says, and memory must stay with what came in.
func FuzzMessages(f *testing.F) {
	var good bytes.Buffer
	newPacket(signed(fuzzInfo, "comm_msg", map[string]any{"a": 1}, []byte("buf"))).bufs.WriteTo(&good)
	f.Add(good.Bytes())
	f.Add(append(good.Bytes(), good.Bytes()...))
	f.Add(append(command("PING", []byte("\x00\x01abc")), good.Bytes()...))
	f.Add(promise(0, 1<<62))
	f.Add(promise(flagMore, maxJSON))
	f.Add(bytes.Repeat([]byte{flagMore, 0}, 2000))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPeer(&memConn{in: bytes.NewReader(data)}, maxQueue)
		b := newBudget()
		rc := &receiver{codec: newCodec(fuzzInfo.Key), budget: b, drops: &drops{log: discard}, maxJSON: maxJSON, maxBuffer: maxShellBuffer}
		err := rc.read(p, func(m *Message) error {
			if m.Header.MsgType == "" || !json.Valid(m.Content) || !json.Valid(m.RawHeader) {
				t.Errorf("delivered %+v", m)
			}
			if size := len(m.RawHeader) + len(m.RawParent) + len(m.Metadata) + len(m.Content); size > len(data) {
				t.Errorf("%d bytes out of %d", size, len(data))
			}
			return nil
		})
		if err == nil {
			t.Error("the end of the input is no error")
		}
		if b.total != 0 || b.strangers != 0 || len(b.held) != 0 {
			t.Errorf("budget holds %d bytes at the end", b.total)
		}
	})
}

// FuzzHandshake reads greeting and READY as a ROUTER does, zmq4 included.
func FuzzHandshake(f *testing.F) {
	ready := readyFrame(handshakeInfo{socket: zmq4.Dealer, identity: "me"})
	f.Add(append(greeting(), ready...))
	f.Add(append(greeting(), command("READY", []byte{200})...))
	f.Add(append(greeting(), promise(flagCommand, 1<<62)...))
	f.Add(greeting()[:63])
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := handshake(&memConn{in: bytes.NewReader(data)}, zmq4.Router, "", true)
		if err == nil && (!compatible(zmq4.Router, info.socket) || len(info.identity) > 255) {
			t.Errorf("accepted %+v", info)
		}
	})
}

// FuzzSubscriptions reads a stream of frames as iopub does.
func FuzzSubscriptions(f *testing.F) {
	f.Add([]byte("\x00\x01\x01\x00\x05\x01abcd\x00\x01\x00"))
	f.Add(command("SUBSCRIBE", []byte("abc")))
	f.Add(command("CANCEL", []byte("abc")))
	f.Fuzz(func(t *testing.T, data []byte) {
		x := &xpub{welcome: func(string) *packet { return &packet{} }, subscribers: map[*peer]struct{}{}}
		p := newPeer(&memConn{in: bytes.NewReader(data)}, maxQueue)
		if err := x.receive(p); err == nil {
			t.Error("the end of the input is no error")
		}
		n := 0
		for _, k := range p.subs.lengths {
			n += k
		}
		if n != len(p.subs.topics) || n > maxSubscriptions {
			t.Errorf("%d topics counted as %d", len(p.subs.topics), n)
		}
	})
}

// FuzzDecode decodes the frames of a verified message: four JSON frames, and
// whatever else.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"msg_type":"a"}`), []byte("{}"), []byte("{}"), []byte(`{"a":[1]}`))
	f.Add([]byte(`{"MSG_TYPE":"a"}`), []byte(`{"msg_id":1}`), []byte("null"), []byte("[]"))
	f.Fuzz(func(t *testing.T, header, parent, metadata, content []byte) {
		m, err := decode([][]byte{delimiter, nil, header, parent, metadata, content}, 0)
		if err != nil {
			return
		}
		var obj map[string]any
		for _, raw := range []json.RawMessage{m.RawHeader, m.RawParent, m.Metadata, m.Content} {
			if err := json.Unmarshal(raw, &obj); err != nil || obj == nil {
				t.Errorf("%q passed as an object", raw)
			}
		}
		for _, into := range []any{&executeContent{}, &CompleteRequest{}, &HistoryRequest{}, &commContent{}} {
			_ = decodeInto(m, into)
		}
	})
}

func decodeInto(m *Message, into any) error { return content(&Request{Msg: m}, into) }

// FuzzConnFile reads a connection file; what passes can be written and read
// again.
func FuzzConnFile(f *testing.F) {
	good, _ := json.Marshal(NewConnInfo("tcp", "127.0.0.1"))
	f.Add(good)
	f.Add([]byte(`{"transport":"ipc","ip":"/x","shell_port":1e9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "c.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		info, _, err := ReadConnFile(path)
		if err != nil {
			return
		}
		if err := info.Write(path); err != nil {
			t.Fatal(err)
		}
		if again, _, err := ReadConnFile(path); err != nil || again != info {
			t.Errorf("%+v became %+v, %v", info, again, err)
		}
	})
}
