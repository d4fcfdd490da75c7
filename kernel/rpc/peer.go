package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/llama-go/llama-go/internal/safe"
)

// Peer is the server's end of one client. Its messages are read by one
// goroutine, in order; each request then runs on its own. Cancels overtake all.
type Peer[S any] struct {
	Client ClientInfo
	State  S

	server *Server[S]
	conn   Conn
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	inbox  chan Incoming
	jobs   sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	inboxBytes int64
	running    map[int64]context.CancelFunc
	cancels    []int64 // of requests that have not come
	held       map[int64]final
	heldOrder  []int64 // oldest first; may name finals that are gone
	heldBytes  int64
	queues     map[string]chan struct{} // the last request of an ordered queue closes it
}

// final is a response that the client has not acknowledged.
type final struct {
	msg     *Message
	buffers [][]byte
}

func (f final) bytes() int64 {
	n := int64(len(f.msg.Result))
	for _, b := range f.buffers {
		n += int64(len(b))
	}
	return n
}

func newPeer[S any](s *Server[S], conn Conn, info ClientInfo, state S) *Peer[S] {
	ctx, cancel := context.WithCancel(context.Background())
	return &Peer[S]{
		Client: info, State: state, server: s, conn: conn, ctx: ctx, cancel: cancel,
		inbox: make(chan Incoming, maxInbox), running: map[int64]context.CancelFunc{},
		held: map[int64]final{}, queues: map[string]chan struct{}{},
	}
}

// Requests is the number of this client's requests that run or wait.
func (p *Peer[S]) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.running)
}

// Receive takes one message off a channel loop and returns at once. A cancel,
// which comes on control, takes effect before it returns.
func (p *Peer[S]) Receive(in Incoming, control bool) {
	if control && len(in.Data) <= maxCancel {
		var m Message
		if json.Unmarshal(in.Data, &m) == nil && m.Method == MethodCancel && m.ID == nil {
			p.notified(in, &m)
			return
		}
	}
	n := int64(len(in.Data))
	for _, b := range in.Buffers {
		n += int64(len(b))
	}
	p.mu.Lock()
	ok := !p.closed && p.inboxBytes+n <= maxInboxBytes
	if ok {
		select {
		case p.inbox <- in:
			p.inboxBytes += n
		default:
			ok = false
		}
	}
	closed := p.closed
	p.mu.Unlock()
	if !ok && !closed {
		p.refuse(in)
	}
}

// refuse answers busy to a request that found the inbox full.
func (p *Peer[S]) refuse(in Incoming) {
	var m Message
	if json.Unmarshal(in.Data, &m) != nil || m.ID == nil || m.Method == "" {
		return
	}
	p.send(in.Parent, &Message{JSONRPC: "2.0", ID: m.ID, Error: busy(fmt.Sprintf("more than %d messages or %d MiB of this client wait to be read", maxInbox, maxInboxBytes>>20))}, nil)
}

func busy(why string) *Error {
	return &Error{CodeFailed, "rpc: " + why, ErrorData{Kind: KindBusy, Hint: "wait for answers before sending more"}}
}

// loop reads the inbox until Close.
func (p *Peer[S]) loop() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case in := <-p.inbox:
			n := int64(len(in.Data))
			for _, b := range in.Buffers {
				n += int64(len(b))
			}
			p.mu.Lock()
			p.inboxBytes -= n
			p.mu.Unlock()
			if err := safe.Call(func() error { p.dispatch(in); return nil }); err != nil {
				p.server.Log.Error("rpc: reading a message", "err", err)
			}
		}
	}
}

func (p *Peer[S]) dispatch(in Incoming) {
	var m Message
	if err := json.Unmarshal(in.Data, &m); err != nil {
		p.send(in.Parent, errorWithoutID(&Error{CodeInvalidRequest, "rpc: not a JSON-RPC object with an integer id: " + err.Error(), ErrorData{Kind: KindRequest}}), nil)
		return
	}
	invalid := func(msg string) {
		p.send(in.Parent, errorWithoutID(&Error{CodeInvalidRequest, "rpc: " + msg, ErrorData{Kind: KindRequest}}), nil)
	}
	switch {
	case m.JSONRPC != "2.0":
		invalid(fmt.Sprintf("jsonrpc is %q, expected \"2.0\"", m.JSONRPC))
	case m.Method == "":
		invalid("the object has no method")
	case m.Result != nil || m.Error != nil:
		invalid("a request has neither result nor error")
	case m.ID == nil:
		p.notified(in, &m)
	default:
		p.request(in, &m)
	}
}

// request validates a request and starts it.
func (p *Peer[S]) request(in Incoming, m *Message) {
	id := *m.ID
	ctx, refusal := p.admit(id)
	if refusal != nil {
		p.send(in.Parent, refusal, nil)
		return
	}
	if ctx == nil {
		return
	}
	decode, ok := p.server.methods[m.Method]
	if !ok {
		p.finish(in, id, nil, nil, &Error{CodeMethodNotFound, fmt.Sprintf("rpc: unknown method %q", clip(m.Method)), ErrorData{Kind: KindRequest}})
		return
	}
	j, err := decode(m.Params, len(in.Buffers))
	if err != nil {
		p.finish(in, id, nil, nil, &Error{CodeInvalidParams, m.Method + ": " + err.Error(), ErrorData{Kind: KindRequest}})
		return
	}
	before, mine := p.queue(j.order)
	safe.Go("rpc request", func() { p.run(ctx, in, id, j, before, mine) })
}

// admit counts a request as running and gives it a context, which is over
// already when its cancel came first. Otherwise it returns the answer to send;
// both are nil once the peer is closed.
func (p *Peer[S]) admit(id int64) (context.Context, any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, runs := p.running[id]
	_, done := p.held[id]
	switch {
	case p.closed:
		return nil, nil
	case runs || done:
		return nil, errorWithoutID(&Error{CodeInvalidRequest, fmt.Sprintf("rpc: id %d is in use", id), ErrorData{Kind: KindRequest, Hint: "count ids up"}})
	case len(p.running) >= maxRunning:
		return nil, &Message{JSONRPC: "2.0", ID: &id, Error: busy(fmt.Sprintf("%d requests of this client run already", maxRunning))}
	}
	if p.server.active.Add(1) > maxActive {
		p.server.active.Add(-1)
		return nil, &Message{JSONRPC: "2.0", ID: &id, Error: busy(fmt.Sprintf("%d requests of all clients run already", maxActive))}
	}
	ctx, stop := context.WithCancel(p.ctx)
	p.running[id] = stop
	p.jobs.Add(1)
	if i := slices.Index(p.cancels, id); i >= 0 {
		p.cancels = slices.Delete(p.cancels, i, i+1)
		stop()
	}
	return ctx, nil
}

// queue enters an ordered queue: before ends when the one ahead has run, and
// mine is closed by the caller when it has.
func (p *Peer[S]) queue(name string) (before, mine chan struct{}) {
	if name == "" {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before, mine = p.queues[name], make(chan struct{})
	p.queues[name] = mine
	return before, mine
}

// run waits for its turn, runs the handler and sends the one response.
func (p *Peer[S]) run(ctx context.Context, in Incoming, id int64, j job[S], before, mine chan struct{}) {
	if mine != nil {
		defer func() {
			if before != nil {
				<-before // one that was cancelled while it waited lets nobody overtake
			}
			close(mine)
			p.mu.Lock()
			if p.queues[j.order] == mine {
				delete(p.queues, j.order)
			}
			p.mu.Unlock()
		}()
	}
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		if j.aborted != nil {
			p.finish(in, id, j.aborted(), nil, nil)
			return
		}
		p.finish(in, id, nil, nil, cancelled())
		return
	}
	c := &Call{ID: id, Buffers: in.Buffers, send: func(params any) {
		p.send(in.Parent, notification(MethodProgress, params), nil)
	}}
	in.Buffers = nil
	var result any
	err := safe.Call(func() (err error) {
		result, err = j.run(ctx, p.State, c)
		return err
	})
	if err == nil {
		p.finish(in, id, result, c.reply, nil)
		return
	}
	var panicked *safe.PanicError
	if errors.As(err, &panicked) {
		p.server.Log.Error("rpc: recovered panic", "panic", fmt.Sprint(panicked.Value), "stack", string(panicked.Stack))
		p.finish(in, id, nil, nil, &Error{CodeInternal, panicked.Error(), ErrorData{Kind: KindInternal, Hint: "the resident goes on; llama-go logs shows more"}})
		return
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		p.finish(in, id, nil, nil, cancelled())
		return
	}
	p.finish(in, id, nil, nil, p.server.MapError(err))
}

func cancelled() *Error {
	return &Error{CodeCancelled, "the request was cancelled", ErrorData{Kind: KindCancelled}}
}

// finish sends a request's one response and keeps it until $/ack.
func (p *Peer[S]) finish(in Incoming, id int64, result any, buffers [][]byte, e *Error) {
	msg := &Message{JSONRPC: "2.0", ID: &id, Error: e}
	if e == nil {
		raw, err := json.Marshal(result)
		if err != nil {
			p.server.Log.Error("rpc: encoding a result", "err", err)
			msg.Error, buffers = &Error{CodeInternal, "rpc: the result cannot be written as JSON: " + err.Error(), ErrorData{Kind: KindInternal}}, nil
		} else {
			msg.Result = raw
		}
	}
	f := final{msg, buffers}
	p.mu.Lock()
	stop := p.running[id]
	delete(p.running, id)
	if !p.closed {
		p.held[id] = f
		p.heldOrder = append(p.heldOrder, id)
		p.heldBytes += f.bytes()
		for len(p.heldOrder) > 1 && (len(p.heldOrder) > maxHeld || p.heldBytes > maxHeldBytes) {
			p.dropHeld(p.heldOrder[0])
			p.heldOrder = slices.Delete(p.heldOrder, 0, min(1, len(p.heldOrder)))
		}
	}
	p.mu.Unlock()
	stop()
	p.server.active.Add(-1)
	p.send(in.Parent, msg, buffers)
	p.jobs.Done()
}

func (p *Peer[S]) send(parent any, data any, buffers [][]byte) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return
	}
	if err := p.conn.Send(parent, data, buffers); err != nil {
		p.server.Log.Debug("rpc: sending", "err", err)
	}
}

// Close cancels all requests of the client and returns when none runs; nothing
// is sent any more.
func (p *Peer[S]) Close() {
	p.mu.Lock()
	p.closed = true
	p.held, p.heldOrder, p.heldBytes = map[int64]final{}, nil, 0
	p.mu.Unlock()
	p.cancel()
	p.jobs.Wait()
}
