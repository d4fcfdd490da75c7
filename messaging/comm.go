package messaging

// Comms holds the open comms and the targets that clients may open.
type Comms struct{}

// Register lets clients open comms of the target. f runs on the loop of the
// channel that comm_open came in on; it sets the comm's handlers and returns
// nil, or an error, which closes the comm at once. A target that nobody
// registered is closed at once too. Register before Serve.
func (m *Comms) Register(target string, f func(c *Comm, open *Request) error) {}

// Comm is one open comm. Only messages of the session that opened it reach its
// handlers, from shell or control.
type Comm struct {
	ID      string
	Target  string
	Session string // of the client that opened it
}

// OnMsg sets the handler of comm_msg. Handlers run on the loops of shell and
// control, so two may run at the same time; they must return soon.
func (c *Comm) OnMsg(f func(*Request)) {}

// OnClose sets the handler of the client's comm_close. It is not called for
// Close.
func (c *Comm) OnClose(f func(*Request)) {}

// Send publishes a comm_msg on iopub with parent (nil: none) as its parent.
// data becomes a JSON object; buffers are written uncopied. It does not wait
// for a subscriber. After Close it is an error (ErrCommClosed).
func (c *Comm) Send(parent *Message, data any, buffers ...[]byte) error { return errSkeleton }

// Close publishes a comm_close and forgets the comm.
func (c *Comm) Close(parent *Message, data any) error { return errSkeleton }
