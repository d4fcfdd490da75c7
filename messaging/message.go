package messaging

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// ProtocolVersion is the version of the Jupyter messaging protocol that every
// header and kernel_info_reply advertises.
const ProtocolVersion = "5.3"

// Channel names one of the five sockets of a kernel.
type Channel string

// The five channels.
const (
	Shell     Channel = "shell"
	IOPub     Channel = "iopub"
	Stdin     Channel = "stdin"
	Control   Channel = "control"
	Heartbeat Channel = "hb"
)

// Header is the header of a message. Fields that this package does not know
// stay in Message.RawHeader.
type Header struct {
	MsgID      string `json:"msg_id"`
	Session    string `json:"session"`
	Username   string `json:"username"`
	Date       string `json:"date"`
	MsgType    string `json:"msg_type"`
	Version    string `json:"version"`
	SubshellID string `json:"subshell_id,omitempty"`
}

// Message is one Jupyter message. Content, Metadata, RawHeader and RawParent
// are JSON objects; Buffers are not covered by the signature.
type Message struct {
	// Identities are the frames ahead of the delimiter: the topic on iopub, an
	// empty frame from a REQ socket, usually none otherwise.
	Identities [][]byte

	Header Header
	Parent Header // zero when there is none

	// RawHeader and RawParent are the frames as received: a reply repeats its
	// request's header verbatim.
	RawHeader json.RawMessage
	RawParent json.RawMessage

	Metadata json.RawMessage
	Content  json.RawMessage
	Buffers  [][]byte
}

// Request is a message from a client as a handler sees it.
type Request struct {
	Msg     *Message
	Channel Channel

	from     *peer     // the connection that it came in on
	received time.Time // when its last frame was in
}

// Session is the client's session: who asks.
func (r *Request) Session() string { return r.Msg.Header.Session }

// Date formats t as the protocol wants it: UTC with exactly six fractional
// digits, the form that jupyter_client parses.
func Date(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// NewHeader is a header for a new message of the session.
func NewHeader(msgType, session, username string) Header {
	return Header{
		MsgID:    uuid.NewString(),
		Session:  session,
		Username: username,
		Date:     Date(time.Now()),
		MsgType:  msgType,
		Version:  ProtocolVersion,
	}
}

// header returns the raw JSON that a message with m as its parent carries.
func (m *Message) header() json.RawMessage {
	if m == nil || len(m.RawHeader) == 0 {
		return emptyObject
	}
	return m.RawHeader
}

var emptyObject = json.RawMessage("{}")
