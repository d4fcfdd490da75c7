package kernel

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
)

// maxClients bounds the comms that are open at once.
const maxClients = 256

// attachedComm is one client of the resident: a comm, its requests, its handles.
type attachedComm struct {
	comm *messaging.Comm
	peer *rpc.Peer[*client]
}

// leases ends the clients whose connections are gone. A lease runs only while a
// session has no connection at all; one that comes back within it loses nothing.
type leases struct {
	time      time.Duration
	connected func(session string) bool
	log       *slog.Logger

	mu     sync.Mutex
	closed bool
	open   map[string][]*attachedComm // by session
	timers map[string]*leaseTimer
	ending sync.WaitGroup
}

func newLeases(d time.Duration, connected func(string) bool, log *slog.Logger) *leases {
	return &leases{time: d, connected: connected, log: log, open: map[string][]*attachedComm{}, timers: map[string]*leaseTimer{}}
}

// leaseTimer is one run of a session's lease.
type leaseTimer struct{ *time.Timer }

// add files a client; false when the resident is full or ends.
func (l *leases) add(session string, a *attachedComm) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.open {
		n += len(s)
	}
	if l.closed || n >= maxClients {
		return false
	}
	l.open[session] = append(l.open[session], a)
	return true
}

// remove ends one client now.
func (l *leases) remove(session string, a *attachedComm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.open[session]
	for i, other := range list {
		if other == a {
			l.open[session] = append(list[:i:i], list[i+1:]...)
			l.end(a)
		}
	}
	if len(l.open[session]) == 0 {
		delete(l.open, session)
	}
}

// end frees a client's work in the background; mu is held.
func (l *leases) end(a *attachedComm) {
	l.ending.Add(1)
	safe.Go("end of client", func() {
		defer l.ending.Done()
		c := a.peer.State
		c.cancel() // waiters first, or Close waits for them
		a.peer.Close()
		c.close()
		l.log.Info("client gone", "client", c.info.Name, "pid", c.info.PID)
	})
}

// disconnected starts the lease of a session whose last connection has gone.
func (l *leases) disconnected(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.open[session]) == 0 {
		return
	}
	if t := l.timers[session]; t != nil {
		t.Stop() // it came back meanwhile: the lease starts anew
	}
	t := &leaseTimer{}
	t.Timer = time.AfterFunc(l.time, func() { l.expire(session, t) })
	l.timers[session] = t
}

func (l *leases) expire(session string, t *leaseTimer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timers[session] != t {
		return
	}
	delete(l.timers, session)
	if l.closed || l.connected(session) {
		return
	}
	for _, a := range l.open[session] {
		l.log.Info("lease ends", "client", a.peer.Client.Name, "pid", a.peer.Client.PID)
		if err := a.comm.Close(nil, map[string]any{}); err != nil {
			l.log.Debug("closing a comm", "err", err)
		}
		l.end(a)
	}
	delete(l.open, session)
}

// closeAll ends all clients and returns when their work is freed.
func (l *leases) closeAll() {
	l.mu.Lock()
	l.closed = true
	for s, t := range l.timers {
		t.Stop()
		delete(l.timers, s)
	}
	for s, list := range l.open {
		for _, a := range list {
			l.end(a)
		}
		delete(l.open, s)
	}
	l.mu.Unlock()
	l.ending.Wait()
}

// commConn is a comm as kernel/rpc sees it.
type commConn struct{ c *messaging.Comm }

func (k commConn) Send(parent any, data any, buffers [][]byte) error {
	m, _ := parent.(*messaging.Message)
	return k.c.Send(m, data, buffers...)
}

func (k commConn) Close(parent any, data any) error {
	m, _ := parent.(*messaging.Message)
	return k.c.Close(m, data)
}

// incoming reads the content of comm_open and comm_msg. The parent that answers
// carry keeps no buffers alive.
func incoming(req *messaging.Request) (rpc.Incoming, error) {
	var content struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(req.Msg.Content, &content); err != nil {
		return rpc.Incoming{}, fmt.Errorf("kernel: comm content: %w", err)
	}
	parent := *req.Msg
	parent.Buffers, parent.Content = nil, nil
	return rpc.Incoming{Data: content.Data, Buffers: req.Msg.Buffers, Parent: &parent}, nil
}

// accept is the handler of comm_open: it runs on a channel loop.
func (r *resident) accept(comm *messaging.Comm, open *messaging.Request) error {
	in, err := incoming(open)
	if err != nil {
		return err
	}
	session := open.Session()
	peer, err := r.rpc.Accept(commConn{comm}, in, r.svc.newClient)
	if err != nil {
		r.log.Info("client refused", "err", err)
		return nil // the comm is closed already
	}
	c := peer.State
	c.connected = func() bool { return r.server.Connected(session) }
	c.requests = peer.Requests
	a := &attachedComm{comm, peer}
	if !r.leases.add(session, a) {
		peer.Close()
		c.close()
		return fmt.Errorf("kernel: %d clients are attached already", maxClients)
	}
	r.svc.attach(c)
	comm.OnMsg(func(req *messaging.Request) {
		if in, err := incoming(req); err == nil {
			peer.Receive(in, req.Channel == messaging.Control)
		}
	})
	comm.OnClose(func(*messaging.Request) { r.leases.remove(session, a) })
	if !r.server.Connected(session) {
		r.leases.disconnected(session) // it went before it was filed
	}
	r.log.Info("client attached", "client", c.info.Name, "version", c.info.Version, "pid", c.info.PID)
	return nil
}
