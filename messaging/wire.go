package messaging

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
)

// Why a message is dropped. The connection stays.
var (
	ErrNoDelimiter = errors.New("messaging: no <IDS|MSG> frame")
	ErrTooShort    = errors.New("messaging: fewer than five frames after <IDS|MSG>")
	ErrSignature   = errors.New("messaging: wrong signature")
	ErrReplayed    = errors.New("messaging: signature seen before")
	ErrJSON        = errors.New("messaging: not a JSON object")
)

var delimiter = []byte("<IDS|MSG>")

// The JSON frames of a message follow the delimiter and the signature.
const jsonFrames = 4 // header, parent_header, metadata, content

// smallFrame is the size up to which a frame is copied next to its header, so
// that an ordinary message is one write of one slice.
const smallFrame = 16 << 10

// codec signs and verifies the messages of one key.
type codec struct {
	signer
	replay *replaySet
}

func newCodec(key string) *codec {
	return &codec{signer: signer{[]byte(key)}, replay: newReplaySet(replaySize)}
}

// check verifies the message whose delimiter is frame delim of the slab:
// signature and JSON frames as received. It parses nothing.
func (c *codec) check(s *slab, delim int) error {
	if len(c.key) == 0 {
		return nil
	}
	signature, ok := s.frame(delim+1, hex.EncodedLen(sha256.Size))
	if !ok {
		return ErrSignature
	}
	sum, ok := c.verify(signature, s.sum(c.key, delim+2, delim+2+jsonFrames))
	if !ok {
		return ErrSignature
	}
	if !c.replay.add(sum) {
		return ErrReplayed
	}
	return nil
}

// decode makes a message of verified frames; delim is the delimiter's index.
func decode(frames [][]byte, delim int) (*Message, error) {
	body := frames[delim+2:]
	m := &Message{
		Identities: frames[:delim:delim],
		RawHeader:  body[0],
		RawParent:  body[1],
		Metadata:   body[2],
		Content:    body[3],
		Buffers:    body[4:],
	}
	for i, name := range []string{"header", "parent_header", "metadata", "content"} {
		if !isObject(body[i]) {
			return nil, fmt.Errorf("%w: %s (%d bytes)", ErrJSON, name, len(body[i]))
		}
	}
	if err := json.Unmarshal(m.RawHeader, &m.Header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrJSON, err)
	}
	if m.Header.MsgType == "" {
		return nil, fmt.Errorf("%w: header without msg_type", ErrJSON)
	}
	// A parent of other types than ours is repeated, not understood.
	_ = json.Unmarshal(m.RawParent, &m.Parent)
	return m, nil
}

func isObject(data []byte) bool {
	t := bytes.TrimLeft(data, " \t\r\n")
	return len(t) > 0 && t[0] == '{' && json.Valid(data)
}

// encode signs a message and frames it for the wire. Buffers are not copied.
func (c *codec) encode(m *Message) (*packet, error) {
	header := m.RawHeader
	if header == nil {
		var err error
		if header, err = json.Marshal(m.Header); err != nil {
			return nil, err
		}
	}
	parts := [jsonFrames][]byte{header, orEmpty(m.RawParent), orEmpty(m.Metadata), orEmpty(m.Content)}
	signature := c.sign(parts[:]...)

	frames := make([][]byte, 0, len(m.Identities)+2+jsonFrames+len(m.Buffers))
	frames = append(frames, m.Identities...)
	frames = append(frames, delimiter, []byte(signature))
	frames = append(frames, parts[:]...)
	frames = append(frames, m.Buffers...)
	if len(frames) > maxParts {
		return nil, fmt.Errorf("%w: %d frames, at most %d", ErrLimit, len(frames), maxParts)
	}
	p := newPacket(frames)
	if p.size > maxMessage {
		return nil, fmt.Errorf("%w: message of %d bytes, at most %d", ErrLimit, p.size, maxMessage)
	}
	return p, nil
}

func orEmpty(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return emptyObject
	}
	return data
}

// newPacket frames a message: one slice as long as frames are small, large
// ones as they are.
func newPacket(frames [][]byte) *packet {
	p := &packet{}
	n := 0
	for _, f := range frames {
		n += 9
		if len(f) <= smallFrame {
			n += len(f)
		}
	}
	head := make([]byte, 0, n)
	cut := 0 // head[cut:] is not yet in bufs
	for i, f := range frames {
		flags := byte(flagMore)
		if i == len(frames)-1 {
			flags = 0
		}
		head = appendFrameHeader(head, flags, len(f))
		if len(f) <= smallFrame {
			head = append(head, f...)
			continue
		}
		p.bufs = append(p.bufs, head[cut:len(head):len(head)], f)
		cut = len(head)
	}
	if cut < len(head) {
		p.bufs = append(p.bufs, head[cut:])
	}
	p.size = packetSize(p.bufs)
	return p
}

// commandPacket frames a ZMTP command.
func commandPacket(name string, body []byte) *packet {
	frame := append([]byte{byte(len(name))}, name...)
	frame = append(frame, body...)
	buf := append(appendFrameHeader(nil, flagCommand, len(frame)), frame...)
	return &packet{bufs: net.Buffers{buf}, size: int64(len(buf)), small: true}
}

func packetSize(b net.Buffers) (n int64) {
	for _, s := range b {
		n += int64(len(s))
	}
	return n
}
