package messaging

import (
	"context"
	"log/slog"
)

// ClientOptions of a client. The zero value is right.
type ClientOptions struct {
	Session  string       // "": a new UUID
	Username string       // "": llama-go
	Logger   *slog.Logger // nil: slog.Default()
}

// Client is a client of one kernel: shell and control as DEALER sockets with
// the session as identity, iopub as SUB. It does not reconnect: when a
// connection breaks, Done is closed and the client is of no more use.
type Client struct{}

// Incoming is a message from the kernel and the channel that it came in on.
type Incoming struct {
	Channel Channel
	Msg     *Message
}

// Dial connects to the kernel and waits until it has answered kernel_info with
// a signature of the same key. ctx bounds all of it.
func Dial(ctx context.Context, info ConnInfo, opt ClientOptions) (*Client, error) {
	return nil, errSkeleton
}

// Session is the client's session.
func (c *Client) Session() string { return "" }

// Subscribe subscribes to a topic of iopub ("" is everything, comm-<id> one
// comm) and waits for the kernel's iopub_welcome, so that nothing published
// afterwards is missed.
func (c *Client) Subscribe(ctx context.Context, topic string) error { return errSkeleton }

// Send sends a message on Shell or Control and returns its msg_id. content
// becomes a JSON object, metadata may be nil, buffers are written uncopied. It
// queues the message and does not wait for it to leave.
func (c *Client) Send(ch Channel, msgType string, content any, metadata map[string]any, buffers ...[]byte) (msgID string, err error) {
	return "", errSkeleton
}

// Messages delivers replies and published messages in order per channel,
// except answers to Dial and Subscribe. Drain it always: a client that does not
// read is cut off by the kernel. It is closed after Done.
func (c *Client) Messages() <-chan Incoming { return nil }

// Done is closed when a connection broke or Close was called.
func (c *Client) Done() <-chan struct{} { return nil }

// Err says why Done is closed; nil before, and after Close.
func (c *Client) Err() error { return nil }

// Close closes the connections after at most 1 s for what is queued.
func (c *Client) Close() error { return errSkeleton }
