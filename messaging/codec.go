package messaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"

	"github.com/llama-go/llama-go/internal/safe"
)

// The seam over zmq4: its Open does greeting and READY on a connection that has
// read and checked both before zmq4 sees a byte. Everything after the handshake
// is read and written by this package.

// ErrHandshake is returned for a peer that does not speak ZMTP 3 with the NULL
// mechanism, or has a socket of the wrong type.
var ErrHandshake = errors.New("messaging: ZMTP handshake refused")

const (
	greetingSize = 64

	flagMore    = 0x01
	flagLong    = 0x02
	flagCommand = 0x04
)

// handshakeInfo is what a peer says of itself, unverified.
type handshakeInfo struct {
	socket   zmq4.SocketType
	identity string
}

// handshake greets a peer as a socket of the given type. The caller has set a
// deadline on conn and closes it after an error.
func handshake(conn net.Conn, typ zmq4.SocketType, identity string, server bool) (handshakeInfo, error) {
	f := &handshakeConn{Conn: conn, own: typ}
	err := safe.Call(func() error {
		_, err := zmq4.Open(f, null.Security(), typ, zmq4.SocketIdentity(identity), server, nil)
		return err
	})
	return f.peer, err
}

// handshakeConn lets zmq4 read one checked greeting and one checked READY, then
// nothing more.
type handshakeConn struct {
	net.Conn
	own     zmq4.SocketType
	peer    handshakeInfo
	step    int    // 0: greeting, 1: READY, 2: over
	pending []byte // checked, not yet read by zmq4
}

func (c *handshakeConn) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		var err error
		switch c.step {
		case 0:
			c.pending, err = readGreeting(c.Conn)
		case 1:
			c.pending, c.peer, err = readReady(c.Conn, c.own)
		default:
			err = io.EOF
		}
		if err != nil {
			return 0, err
		}
		c.step++
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// readGreeting reads and checks a greeting of ZMTP 3.x with mechanism NULL
// (https://rfc.zeromq.org/spec/23/). The signature is checked as soon as its
// ten bytes are in.
func readGreeting(r io.Reader) ([]byte, error) {
	g := make([]byte, greetingSize)
	if _, err := io.ReadFull(r, g[:10]); err != nil {
		return nil, err
	}
	if g[0] != 0xff || g[9] != 0x7f {
		return nil, fmt.Errorf("%w: signature is % x … %x, expected ff … 7f", ErrHandshake, g[0], g[9])
	}
	if _, err := io.ReadFull(r, g[10:]); err != nil {
		return nil, err
	}
	if g[10] < 3 {
		return nil, fmt.Errorf("%w: version %d.%d, expected 3.0 or later", ErrHandshake, g[10], g[11])
	}
	if mechanism := string(bytes.TrimRight(g[12:32], "\x00")); mechanism != "NULL" {
		return nil, fmt.Errorf("%w: mechanism %q, expected NULL", ErrHandshake, mechanism)
	}
	if g[32] > 1 {
		return nil, fmt.Errorf("%w: as-server is %d, expected 0 or 1", ErrHandshake, g[32])
	}
	return g, nil
}

// readReady reads and checks a READY command and returns it again with the two
// properties that matter.
func readReady(r io.Reader, own zmq4.SocketType) ([]byte, handshakeInfo, error) {
	var none handshakeInfo
	var head [9]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return nil, none, err
	}
	size := uint64(head[1])
	switch head[0] {
	case flagCommand:
	case flagCommand | flagLong:
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, none, err
		}
		size = binary.BigEndian.Uint64(head[1:])
	default:
		return nil, none, fmt.Errorf("%w: flags %#x, expected a command", ErrHandshake, head[0])
	}
	if size > maxReady {
		return nil, none, fmt.Errorf("%w: READY of %d bytes, at most %d", ErrHandshake, size, maxReady)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, none, err
	}
	name, props, ok := cutCommand(body)
	if !ok || name != "READY" {
		return nil, none, fmt.Errorf("%w: command %q, expected READY", ErrHandshake, name)
	}
	info, err := parseProperties(props)
	if err != nil {
		return nil, none, err
	}
	if !compatible(own, info.socket) {
		return nil, none, fmt.Errorf("%w: %q cannot talk to %s", ErrHandshake, info.socket, own)
	}
	return readyFrame(info), info, nil
}

// cutCommand splits a command frame into its name and body.
func cutCommand(frame []byte) (name string, body []byte, ok bool) {
	if len(frame) == 0 || int(frame[0]) > len(frame)-1 {
		return "", nil, false
	}
	n := 1 + int(frame[0])
	return string(frame[1:n]), frame[n:], true
}

// parseProperties reads the metadata of a READY command: a byte of name length,
// the name, four bytes of value length, the value, and so on.
func parseProperties(p []byte) (handshakeInfo, error) {
	var info handshakeInfo
	seen := map[string]bool{}
	for len(p) > 0 {
		n := int(p[0])
		if n == 0 || 1+n+4 > len(p) {
			return info, fmt.Errorf("%w: property name of %d bytes in %d", ErrHandshake, n, len(p)-1)
		}
		name := strings.ToLower(string(p[1 : 1+n]))
		p = p[1+n:]
		size := binary.BigEndian.Uint32(p)
		p = p[4:]
		if uint64(size) > uint64(len(p)) {
			return info, fmt.Errorf("%w: property %q of %d bytes in %d", ErrHandshake, name, size, len(p))
		}
		value := string(p[:size])
		p = p[size:]
		if seen[name] {
			return info, fmt.Errorf("%w: property %q twice", ErrHandshake, name)
		}
		seen[name] = true
		switch name {
		case "socket-type":
			info.socket = zmq4.SocketType(value)
		case "identity":
			if len(value) > 255 {
				return info, fmt.Errorf("%w: identity of %d bytes, at most 255", ErrHandshake, len(value))
			}
			info.identity = value
		}
	}
	return info, nil
}

// readyFrame is the whole READY frame of a peer, in its canonical form.
func readyFrame(info handshakeInfo) []byte {
	body := append([]byte{5}, "READY"...)
	for _, kv := range [][2]string{{"Socket-Type", string(info.socket)}, {"Identity", info.identity}} {
		body = append(body, byte(len(kv[0])))
		body = append(body, kv[0]...)
		body = binary.BigEndian.AppendUint32(body, uint32(len(kv[1])))
		body = append(body, kv[1]...)
	}
	return append(appendFrameHeader(nil, flagCommand, len(body)), body...)
}

// compatible says which sockets may talk to ours. ROUTER to ROUTER is legal in
// ZMTP, but no Jupyter client does it.
func compatible(own, peer zmq4.SocketType) bool {
	switch own {
	case zmq4.Router, zmq4.Rep:
		return peer == zmq4.Dealer || peer == zmq4.Req
	case zmq4.XPub:
		return peer == zmq4.Sub || peer == zmq4.XSub
	case zmq4.Dealer:
		return peer == zmq4.Router || peer == zmq4.Rep
	case zmq4.Sub:
		return peer == zmq4.Pub || peer == zmq4.XPub
	}
	return false
}

// appendFrameHeader appends the header of a frame of size bytes.
func appendFrameHeader(dst []byte, flags byte, size int) []byte {
	if size <= 255 {
		return append(dst, flags, byte(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, flags|flagLong), uint64(size))
}
