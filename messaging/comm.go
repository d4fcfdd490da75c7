package messaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/llama-go/llama-go/internal/safe"
)

// ErrCommClosed is returned for messages to a comm that is closed.
var ErrCommClosed = errors.New("messaging: comm is closed")

// Comms holds the open comms and the targets that clients may open.
type Comms struct {
	s *Server

	mu      sync.Mutex
	targets map[string]func(*Comm, *Request) error
	open    map[string]*Comm
}

func newComms(s *Server) *Comms {
	return &Comms{s: s, targets: map[string]func(*Comm, *Request) error{}, open: map[string]*Comm{}}
}

// Register lets clients open comms of the target. f runs on the loop of the
// channel that comm_open came in on; it sets the comm's handlers and returns
// nil, or an error, which closes the comm at once. A target that nobody
// registered is closed at once too. Register before Serve.
func (m *Comms) Register(target string, f func(c *Comm, open *Request) error) {
	m.mu.Lock()
	m.targets[target] = f
	m.mu.Unlock()
}

// Comm is one open comm. Only messages of the session that opened it reach its
// handlers, from shell or control.
type Comm struct {
	ID      string
	Target  string
	Session string // of the client that opened it

	m       *Comms
	mu      sync.Mutex
	onMsg   func(*Request)
	onClose func(*Request)
	closed  bool
}

// OnMsg sets the handler of comm_msg. Handlers run on the loops of shell and
// control, so two may run at the same time; they must return soon.
func (c *Comm) OnMsg(f func(*Request)) {
	c.mu.Lock()
	c.onMsg = f
	c.mu.Unlock()
}

// OnClose sets the handler of the client's comm_close. It is not called for
// Close.
func (c *Comm) OnClose(f func(*Request)) {
	c.mu.Lock()
	c.onClose = f
	c.mu.Unlock()
}

// commContent is the content of comm_open, comm_msg and comm_close.
type commContent struct {
	CommID string          `json:"comm_id"`
	Target string          `json:"target_name,omitempty"`
	Data   json.RawMessage `json:"data"`
}

// CommData is the data field of a comm message's content: what the other side
// sent. It is an empty object when there is none.
func (r *Request) CommData() json.RawMessage {
	var c commContent
	if json.Unmarshal(r.Msg.Content, &c) != nil {
		return emptyObject
	}
	return orEmpty(c.Data)
}

// Send publishes a comm_msg on iopub with parent (nil: none) as its parent.
// data becomes a JSON object; buffers are written uncopied. It does not wait
// for a subscriber. After Close it is an error (ErrCommClosed).
func (c *Comm) Send(parent *Message, data any, buffers ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock() // so that nothing follows comm_close
	if c.closed {
		return fmt.Errorf("%w: %s", ErrCommClosed, c.ID)
	}
	return c.m.publish("comm_msg", c.ID, parent, data, buffers...)
}

// Close publishes a comm_close and forgets the comm.
func (c *Comm) Close(parent *Message, data any) error {
	if !c.end() {
		return fmt.Errorf("%w: %s", ErrCommClosed, c.ID)
	}
	return c.m.publish("comm_close", c.ID, parent, data)
}

// end marks the comm closed and forgets it; false: it was already.
func (c *Comm) end() bool {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		c.m.mu.Lock()
		delete(c.m.open, c.ID)
		c.m.mu.Unlock()
	}
	return first
}

func (m *Comms) publish(msgType, id string, parent *Message, data any, buffers ...[]byte) error {
	raw, err := marshalObject(data)
	if err != nil {
		return fmt.Errorf("messaging: data of %s: %w", msgType, err)
	}
	return m.s.publish("comm-"+id, msgType, parent, commContent{CommID: id, Data: raw}, nil, buffers...)
}

// handle runs the handlers of a comm message. Unknown comms and those of
// another session are ignored.
func (m *Comms) handle(req *Request) {
	var c commContent
	if err := content(req, &c); err != nil || c.CommID == "" {
		m.s.drops.add(fmt.Errorf("messaging: malformed %s", req.Msg.Header.MsgType))
		return
	}
	if req.Msg.Header.MsgType == "comm_open" {
		m.handleOpen(req, c)
		return
	}
	m.mu.Lock()
	comm := m.open[c.CommID]
	m.mu.Unlock()
	if comm == nil {
		m.s.drops.add(fmt.Errorf("messaging: %s for an unknown comm", req.Msg.Header.MsgType))
		return
	}
	if comm.Session != req.Session() {
		m.s.drops.add(fmt.Errorf("messaging: %s for a comm of another session", req.Msg.Header.MsgType))
		return
	}
	comm.mu.Lock()
	f := comm.onMsg
	if req.Msg.Header.MsgType == "comm_close" {
		f = comm.onClose
	}
	comm.mu.Unlock()
	if req.Msg.Header.MsgType == "comm_close" && !comm.end() {
		return
	}
	if f != nil {
		f(req)
	}
}

// handleOpen opens a comm, or answers comm_close. A comm_id that is open
// already stays whose it is.
func (m *Comms) handleOpen(req *Request, c commContent) {
	comm := &Comm{ID: c.CommID, Target: c.Target, Session: req.Session(), m: m}
	m.mu.Lock()
	f := m.targets[c.Target]
	_, taken := m.open[c.CommID]
	if f != nil && !taken {
		m.open[c.CommID] = comm
	}
	m.mu.Unlock()
	switch {
	case taken:
		m.s.drops.add(errors.New("messaging: comm_open for a comm_id that is open"))
	case f == nil:
		m.s.log.Debug("messaging: comm_open for an unknown target", "target", c.Target)
		m.refuse(req, c.CommID)
	default:
		err := safe.Call(func() error { return f(comm, req) })
		if err == nil {
			return
		}
		m.s.logPanic("comm_open", err)
		m.s.log.Debug("messaging: comm refused", "target", c.Target, "error", err)
		if comm.end() {
			m.refuse(req, c.CommID)
		}
	}
}

func (m *Comms) refuse(req *Request, id string) {
	if err := m.publish("comm_close", id, req.Msg, nil); err != nil {
		m.s.log.Error("messaging: comm_close not published", "error", err)
	}
}

// info lists the open comms of a target, or all.
func (m *Comms) info(target string) map[string]map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	comms := map[string]map[string]string{}
	for id, c := range m.open {
		if target == "" || c.Target == target {
			comms[id] = map[string]string{"target_name": c.Target}
		}
	}
	return comms
}
