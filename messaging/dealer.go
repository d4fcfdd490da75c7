package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/google/uuid"

	"github.com/llama-go/llama-go/internal/safe"
)

// ErrConnectionLost is what Err returns after the kernel's side is gone.
var ErrConnectionLost = errors.New("messaging: connection to the kernel lost")

// ClientOptions of a client. The zero value is right.
type ClientOptions struct {
	Session  string       // "": a new UUID
	Username string       // "": llama-go
	Logger   *slog.Logger // nil: slog.Default()
}

// Client is a client of one kernel: shell and control as DEALER sockets with
// the session as identity, iopub as SUB. It does not reconnect: when a
// connection breaks, Done is closed and the client is of no more use.
type Client struct {
	session, username string
	codec             *codec
	log               *slog.Logger
	rc                *receiver

	peers map[Channel]*peer
	subs  subscriber

	messages chan Incoming
	done     chan struct{} // a connection broke, or Close was called
	quit     chan struct{} // nobody takes messages any more
	quitOnce sync.Once
	ended    chan struct{} // messages is closed
	readers  sync.WaitGroup
	writers  sync.WaitGroup

	mu      sync.Mutex
	err     error
	over    bool
	waiting map[string]chan struct{} // Dial's question by msg_id
}

// Incoming is a message from the kernel and the channel that it came in on.
type Incoming struct {
	Channel Channel
	Msg     *Message
}

// Dial connects to the kernel and waits until it has answered kernel_info on
// shell and on control with a signature of the same key. ctx bounds all of it.
func Dial(ctx context.Context, info ConnInfo, opt ClientOptions) (*Client, error) {
	if err := info.check(); err != nil {
		return nil, err
	}
	c := &Client{
		session:  opt.Session,
		username: opt.Username,
		codec:    newCodec(info.Key),
		log:      opt.Logger,
		peers:    map[Channel]*peer{},
		messages: make(chan Incoming, 256),
		done:     make(chan struct{}),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
		waiting:  map[string]chan struct{}{},
	}
	if c.session == "" {
		c.session = uuid.NewString()
	}
	if c.username == "" {
		c.username = "llama-go"
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.rc = &receiver{codec: c.codec, budget: newBudget(), drops: &drops{log: c.log}, maxJSON: maxJSON, maxBuffer: maxShellBuffer}
	for _, s := range []struct {
		ch  Channel
		typ zmq4.SocketType
	}{{Shell, zmq4.Dealer}, {Control, zmq4.Dealer}, {IOPub, zmq4.Sub}} {
		p, err := dial(ctx, info, s.ch, s.typ, c.session)
		if err != nil {
			for _, p := range c.peers {
				p.close(errClosed)
			}
			return nil, fmt.Errorf("messaging: %s of the kernel: %w", s.ch, err)
		}
		c.peers[s.ch] = p
	}
	for ch, p := range c.peers {
		c.start(ch, p)
	}
	safe.Go("client end", c.end)
	// On both, so that the kernel knows both connections as one with the key
	// and keeps them when its sockets are full.
	for _, ch := range []Channel{Shell, Control} {
		if err := c.ask(ctx, ch); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// dial opens one connection and greets the kernel.
func dial(ctx context.Context, info ConnInfo, ch Channel, typ zmq4.SocketType, identity string) (*peer, error) {
	network, addr := info.address(ch)
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(handshakeTime)
	if t, ok := ctx.Deadline(); ok && t.Before(deadline) {
		deadline = t
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = conn.SetDeadline(deadline)
	if err == nil {
		_, err = handshake(conn, typ, identity, false)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := newPeer(conn, maxQueue)
	p.identity = identity
	return p, nil
}

// start runs the reader and the writer of a connection; when one ends, the
// client does.
func (c *Client) start(ch Channel, p *peer) {
	c.readers.Add(1)
	safe.Go("client reader", func() {
		defer c.readers.Done()
		err := errors.New("messaging: reader panicked") // unless read returns
		defer func() { p.close(err); c.fail(fmt.Errorf("%w: %s: %w", ErrConnectionLost, ch, err)) }()
		err = c.rc.read(p, func(m *Message) error { return c.deliver(ch, m) })
	})
	c.writers.Add(1)
	safe.Go("client writer", func() {
		defer c.writers.Done()
		defer p.close(errClosed)
		p.writeLoop()
	})
}

// end closes Messages behind the last message. When a connection broke, the
// others have up to 1 s to bring what the kernel sent before.
func (c *Client) end() {
	<-c.done
	read := make(chan struct{})
	safe.Go("client readers", func() { c.readers.Wait(); close(read) })
	select {
	case <-read:
	case <-c.quit:
	case <-time.After(lingerTime):
	}
	c.discard()
	if c.Err() != nil {
		for _, p := range c.peers {
			p.close(errClosed)
		}
	}
	<-read
	close(c.messages)
	close(c.ended)
}

// discard lets readers drop what comes in from now on.
func (c *Client) discard() { c.quitOnce.Do(func() { close(c.quit) }) }

// fail ends the client; the first reason stays.
func (c *Client) fail(err error) {
	c.mu.Lock()
	first := !c.over
	if first {
		c.over, c.err = true, err
	}
	c.mu.Unlock()
	if first {
		close(c.done)
	}
}

// ask sends kernel_info_request on a channel and waits for the answer.
func (c *Client) ask(ctx context.Context, ch Channel) error {
	answered := make(chan struct{})
	m, err := c.message("kernel_info_request", nil, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.waiting[m.Header.MsgID] = answered
	c.mu.Unlock()
	if err := c.send(ch, m); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-c.done:
		return c.lost()
	case <-ctx.Done():
		err := fmt.Errorf("messaging: no signed kernel_info_reply: %w", ctx.Err())
		if n := c.rc.drops.count.Load(); n > 0 {
			err = fmt.Errorf("%w (%d replies with another key or none dropped)", err, n)
		}
		return err
	}
}

// deliver hands over a message, unless Dial or Subscribe waits for it.
func (c *Client) deliver(ch Channel, m *Message) error {
	if ch == IOPub && m.Header.MsgType == "iopub_welcome" && c.subs.welcomed(m) {
		return nil
	}
	c.mu.Lock()
	answered, ok := c.waiting[m.Parent.MsgID]
	delete(c.waiting, m.Parent.MsgID)
	c.mu.Unlock()
	if ok {
		close(answered)
		return nil
	}
	select {
	case c.messages <- Incoming{ch, m}:
		return nil
	case <-c.quit:
		return nil // read on: what is queued to go out must not be lost to a reset
	}
}

// Session is the client's session.
func (c *Client) Session() string { return c.session }

// Send sends a message on Shell or Control and returns its msg_id. content
// becomes a JSON object, metadata may be nil, buffers are written uncopied. It
// queues the message and does not wait for it to leave, unless 128 MiB wait
// already. It may be called from several goroutines.
func (c *Client) Send(ch Channel, msgType string, content any, metadata map[string]any, buffers ...[]byte) (msgID string, err error) {
	if ch != Shell && ch != Control {
		return "", fmt.Errorf("messaging: a client sends on shell or control, not on %s", ch)
	}
	m, err := c.message(msgType, content, metadata, buffers...)
	if err != nil {
		return "", err
	}
	return m.Header.MsgID, c.send(ch, m)
}

func (c *Client) message(msgType string, content any, metadata map[string]any, buffers ...[]byte) (*Message, error) {
	m := &Message{Header: NewHeader(msgType, c.session, c.username), Buffers: buffers}
	var err error
	if m.Content, err = marshalObject(content); err != nil {
		return nil, fmt.Errorf("messaging: content of %s: %w", msgType, err)
	}
	if m.Metadata, err = marshalObject(metadata); err != nil {
		return nil, fmt.Errorf("messaging: metadata of %s: %w", msgType, err)
	}
	return m, nil
}

func (c *Client) send(ch Channel, m *Message) error {
	p, err := c.codec.encode(m)
	if err != nil {
		return err
	}
	if err := c.peers[ch].waitSpace(p.size); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConnectionLost, ch, err)
	}
	return c.peers[ch].send(p)
}

// Messages delivers replies and published messages in order per channel,
// except answers to Dial and Subscribe. Drain it always: a client that does not
// read is cut off by the kernel. It is closed after Done, behind the last
// message that arrived.
func (c *Client) Messages() <-chan Incoming { return c.messages }

// Done is closed when a connection broke or Close was called.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why Done is closed; nil before, and after Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close closes the connections after at most 1 s for what is queued, and
// returns when all of the client's goroutines have ended.
func (c *Client) Close() error {
	c.fail(nil)
	c.discard()
	deadline := time.Now().Add(lingerTime)
	var wg sync.WaitGroup
	for _, p := range c.peers {
		wg.Add(1)
		safe.Go("drain", func() { defer wg.Done(); p.drain(deadline) })
	}
	wg.Wait()
	c.writers.Wait()
	<-c.ended
	return nil
}
