package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/google/uuid"

	"github.com/llama-go/llama-go/internal/safe"
)

// Options of a server. The zero value is right for a local kernel.
type Options struct {
	AllowNoKey  bool         // serve without signatures when the key is empty
	AllowRemote bool         // bind an address that is not a loopback one
	Logger      *slog.Logger // nil: slog.Default()
}

// Server is a kernel's side of the protocol: five bound sockets and what runs
// behind them.
type Server struct {
	info    ConnInfo
	kernel  Kernel
	log     *slog.Logger
	session string
	codec   *codec
	drops   *drops

	shell, control, stdin *router
	iopub                 *xpub
	hb                    *socket
	sessions              *sessions
	comms                 *Comms
	exec                  *executor

	ctx      context.Context // of all handlers; ends when Serve stops
	cancel   context.CancelFunc
	stop     chan struct{} // closed: Serve returns
	stopOnce sync.Once
	loops    chan struct{} // closed: nobody takes requests any more
	closing  sync.Once
	closed   chan struct{}
}

// Listen checks info, binds the five sockets and starts accepting connections;
// requests are answered once Serve runs. Ports that are 0 are chosen: Info
// tells them.
func Listen(info ConnInfo, k Kernel, opt Options) (*Server, error) {
	if err := info.check(); err != nil {
		return nil, err
	}
	if info.Key == "" && !opt.AllowNoKey {
		return nil, &ConnError{Msg: "key is empty: anybody could send messages", Fix: "use a connection file with a key"}
	}
	if err := checkBind(info, opt.AllowRemote); err != nil {
		return nil, err
	}
	log := opt.Logger
	if log == nil {
		log = slog.Default()
	}
	if err := prepareFolder(info, log); err != nil {
		return nil, err
	}
	s := &Server{
		kernel:   k,
		log:      log,
		session:  uuid.NewString(),
		codec:    newCodec(info.Key),
		drops:    &drops{log: log},
		sessions: newSessions(),
		stop:     make(chan struct{}),
		loops:    make(chan struct{}),
		closed:   make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.comms = newComms(s)
	s.exec = newExecutor(s)
	s.makeSockets()
	var bound []*socket
	for _, sock := range s.sockets() {
		ln, err := bind(&info, sock.ch)
		if err != nil {
			for _, b := range bound {
				b.ln.Close()
			}
			s.cancel()
			return nil, err
		}
		sock.ln = ln
		bound = append(bound, sock)
	}
	s.info = info
	for _, sock := range bound {
		sock.serve()
	}
	return s, nil
}

// makeSockets makes the five sockets, unbound.
func (s *Server) makeSockets() {
	budget := newBudget()
	newSocket := func(ch Channel, typ zmq4.SocketType, queue int64) socket {
		return socket{ch: ch, typ: typ, queue: queue, log: s.log, peers: map[*peer]struct{}{}, trusted: s.sessions.signers}
	}
	newRouter := func(ch Channel, maxJSON, maxBuffer int64) *router {
		r := &router{
			socket: newSocket(ch, zmq4.Router, maxQueue),
			rc:     &receiver{codec: s.codec, budget: budget, drops: s.drops, maxJSON: maxJSON, maxBuffer: maxBuffer},
			in:     make(chan *Request, 16),
			stop:   s.loops,
		}
		r.read = r.receive
		return r
	}
	s.shell = newRouter(Shell, maxJSON, maxShellBuffer)
	s.control = newRouter(Control, maxJSON, maxControlBuffer)
	s.stdin = newRouter(Stdin, maxStdinFrame, maxStdinFrame)
	for _, r := range []*router{s.shell, s.control} {
		r.sessions = s.sessions
		r.open = func(p *peer) { s.sessions.add(p.identity, p, false) }
		r.gone = s.sessions.remove
	}
	s.iopub = &xpub{socket: newSocket(IOPub, zmq4.XPub, maxQueue), welcome: s.welcome, subscribers: map[*peer]struct{}{}}
	s.iopub.open, s.iopub.gone = s.iopub.opened, s.iopub.left
	s.iopub.read = s.iopub.receive
	hb := newSocket(Heartbeat, zmq4.Rep, maxQueueHeartbeat)
	s.hb = &hb
	s.hb.read = echo
}

func (s *Server) sockets() []*socket {
	return []*socket{&s.shell.socket, &s.iopub.socket, &s.stdin.socket, &s.control.socket, s.hb}
}

// Info is the connection file with the ports that were bound.
func (s *Server) Info() ConnInfo { return s.info }

// Comms is the comm manager.
func (s *Server) Comms() *Comms { return s.comms }

// Session is the server's own session, a new UUID for each server: a client
// sees by it that a kernel was restarted.
func (s *Server) Session() string { return s.session }

// Dropped is how many messages were dropped because they were not signed,
// replayed or malformed.
func (s *Server) Dropped() int64 { return s.drops.count.Load() }

// Serve answers requests until a shutdown_request has been answered or
// Shutdown or Close is called (nil), or ctx ends (its error). It closes the
// server: queued messages get up to 1 s to leave.
func (s *Server) Serve(ctx context.Context) error {
	var wg sync.WaitGroup
	start := func(name string, f func()) {
		wg.Add(1)
		safe.Go(name, func() { defer wg.Done(); f() })
	}
	s.publishStatus("starting", nil)
	start("shell", func() { s.loop(s.shell) })
	start("control", func() { s.loop(s.control) })
	start("stdin", func() { s.inputs(s.stdin) })
	start("execute", s.exec.run)
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
		s.Shutdown()
	case <-s.stop:
	}
	s.cancel()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(lingerTime):
		s.log.Warn("messaging: a handler did not end with its context", "waited", lingerTime)
	}
	if e := s.Close(); err == nil {
		err = e
	}
	return err
}

// Shutdown stops Serve as a shutdown_request does, without one.
func (s *Server) Shutdown() { s.stopOnce.Do(func() { close(s.stop) }) }

// Close stops the server: queued messages get up to 1 s to leave, then all
// connections are closed and the socket files removed. It returns when all of
// the server's own goroutines have ended.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.Shutdown()
		s.cancel()
		close(s.loops)
		s.sessions.onGone(nil)
		deadline := time.Now().Add(lingerTime)
		var wg sync.WaitGroup
		for _, sock := range s.sockets() {
			wg.Add(1)
			safe.Go("close", func() { defer wg.Done(); sock.close(deadline) })
		}
		wg.Wait()
		close(s.closed)
	})
	<-s.closed
	return nil
}

// Interrupt does what an interrupt_request does: it ends the ctx of the running
// cell and calls Kernel.Interrupt. Call it on SIGINT.
func (s *Server) Interrupt() {
	s.exec.interrupt()
	if err := safe.Call(func() error { s.kernel.Interrupt(); return nil }); err != nil {
		s.logPanic("interrupt", err)
	}
}

// Connected reports whether any shell or control connection of the client
// session is open: one with the session as ZMQ identity, or one that has sent a
// signed message of that session.
func (s *Server) Connected(session string) bool { return s.sessions.connected(session) }

// OnDisconnect sets f to be called, on its own goroutine, when the last shell
// or control connection of a session that has sent a signed message is gone.
// The session may connect again: ask Connected when it matters.
func (s *Server) OnDisconnect(f func(session string)) { s.sessions.onGone(f) }

// message makes a message of the server with a parent.
func (s *Server) message(msgType string, parent *Message, content, metadata any, buffers ...[]byte) (*Message, error) {
	m := &Message{Header: NewHeader(msgType, s.session, "kernel"), RawParent: parent.header(), Buffers: buffers}
	var err error
	if m.Content, err = marshalObject(content); err != nil {
		return nil, err
	}
	if m.Metadata, err = marshalObject(metadata); err != nil {
		return nil, err
	}
	return m, nil
}

// marshalObject encodes v, which must be a JSON object; nil is an empty one.
func marshalObject(v any) (json.RawMessage, error) {
	if v == nil {
		return emptyObject, nil
	}
	data, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, err
	case string(data) == "null":
		return emptyObject, nil
	case data[0] != '{':
		return nil, ErrJSON
	}
	return data, nil
}

func (s *Server) logPanic(what string, err error) {
	var p *safe.PanicError
	if errors.As(err, &p) {
		s.log.Error("messaging: recovered panic", "in", what, "panic", p.Error(), "stack", string(p.Stack))
	}
}
