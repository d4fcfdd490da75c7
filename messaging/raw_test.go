package messaging

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// rawConn is a ZMTP connection made by hand: what an attacker, or an honest
// peer without a library, writes.
type rawConn struct {
	net.Conn
	r *bufio.Reader
}

func rawDial(t testing.TB, info ConnInfo, ch Channel) *rawConn {
	t.Helper()
	network, addr := info.address(ch)
	c, err := net.DialTimeout(network, addr, 3*time.Second)
	if err != nil {
		t.Fatalf("connect to %s: %v", ch, err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawConn{c, bufio.NewReader(c)}
}

func greeting() []byte {
	g := make([]byte, greetingSize)
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:], "NULL")
	return g
}

// clientType is the socket type that talks to a channel.
func clientType(ch Channel) zmq4.SocketType {
	switch ch {
	case IOPub:
		return zmq4.Sub
	case Heartbeat:
		return zmq4.Req
	}
	return zmq4.Dealer
}

// rawPeer connects and shakes hands.
func rawPeer(t testing.TB, info ConnInfo, ch Channel, identity string) *rawConn {
	t.Helper()
	c := rawDial(t, info, ch)
	c.Write(append(greeting(), readyFrame(handshakeInfo{socket: clientType(ch), identity: identity})...))
	c.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.ReadFull(c.r, make([]byte, greetingSize)); err != nil {
		t.Fatalf("greeting of %s: %v", ch, err)
	}
	if _, _, err := c.frame(); err != nil {
		t.Fatalf("READY of %s: %v", ch, err)
	}
	return c
}

// frame reads one frame.
func (c *rawConn) frame() (flags byte, body []byte, err error) {
	c.SetReadDeadline(time.Now().Add(3 * time.Second))
	if flags, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	var size uint64
	if flags&flagLong != 0 {
		err = binary.Read(c.r, binary.BigEndian, &size)
	} else {
		var b byte
		b, err = c.r.ReadByte()
		size = uint64(b)
	}
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, size)
	_, err = io.ReadFull(c.r, body)
	return flags, body, err
}

// message reads the frames of one message.
func (c *rawConn) message() (frames [][]byte, err error) {
	for {
		flags, b, err := c.frame()
		if err != nil {
			return nil, err
		}
		if frames = append(frames, b); flags&flagMore == 0 {
			return frames, nil
		}
	}
}

// send writes one message.
func (c *rawConn) send(frames ...[]byte) error {
	_, err := newPacket(frames).bufs.WriteTo(c.Conn)
	return err
}

// signed is the frames of a message with a good signature.
func signed(info ConnInfo, msgType string, content any, buffers ...[]byte) [][]byte {
	header, _ := json.Marshal(NewHeader(msgType, "raw", "raw"))
	body, _ := json.Marshal(content)
	parts := [][]byte{header, []byte("{}"), []byte("{}"), body}
	sig := signer{[]byte(info.Key)}.sign(parts...)
	frames := append([][]byte{delimiter, []byte(sig)}, parts...)
	return append(frames, buffers...)
}

// closedSoon reports whether the kernel closes the connection within d.
func (c *rawConn) closedSoon(d time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(d))
	_, err := io.Copy(io.Discard, c.r)
	ne, ok := err.(net.Error)
	return !ok || !ne.Timeout()
}

// header is a frame header that promises size bytes.
func promise(flags byte, size uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | flagLong}, size)
}
