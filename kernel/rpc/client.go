package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// cancelGrace is how long a call waits for the final of a request that it has
// cancelled.
const cancelGrace = 10 * time.Second

// ClientConn sends a client's messages: on control when control is set, else
// on shell.
type ClientConn interface {
	Send(control bool, data any, buffers [][]byte) error
}

// Client is the client's end of one comm. Its owner feeds it with Receive and
// tells it with Fail that nothing more will come.
type Client struct {
	mu     sync.Mutex
	conn   ClientConn
	nextID int64
	calls  map[int64]*call
	failed *Error
}

// call is a request that waits for its final. Events arrive in order.
type call struct {
	request *Message
	buffers [][]byte
	unsent  bool // the connection was broken: Resume sends it

	wake   chan struct{} // capacity 1: something was added
	events []json.RawMessage
	final  *Message
	bufs   [][]byte
	err    *Error // the connection is gone
}

// NewClient makes a Client that sends on conn.
func NewClient(conn ClientConn) *Client {
	return &Client{conn: conn, calls: map[int64]*call{}}
}

// CallOptions of one request.
type CallOptions struct {
	Buffers [][]byte
	// Progress is told the params of each $/progress, in order, on the
	// goroutine of Call.
	Progress func(params json.RawMessage)
	// Grace is how long the call waits for its final after it was cancelled;
	// 0: 10 s.
	Grace time.Duration
}

// Call makes a request and waits for its final, whose result is decoded into
// result (nil: dropped) and whose buffers are returned. When ctx ends it sends
// $/cancelRequest and goes on waiting, for a cancelled generate has a result.
// Errors are *Error.
func (c *Client) Call(ctx context.Context, method string, params, result any, opt CallOptions) ([][]byte, error) {
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, &Error{CodeInvalidParams, method + ": " + err.Error(), ErrorData{Kind: KindRequest}}
	}
	if err := ctx.Err(); err != nil {
		return nil, cancelled()
	}
	one := &call{buffers: opt.Buffers, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.failed != nil {
		defer c.mu.Unlock()
		return nil, c.failed
	}
	c.nextID++
	id := c.nextID
	one.request = &Message{JSONRPC: "2.0", ID: &id, Method: method, Params: raw}
	c.calls[id] = one
	// Sending under the mutex: Resume sees the call sent, or sends it.
	one.unsent = c.conn.Send(false, one.request, opt.Buffers) != nil
	c.mu.Unlock()
	defer c.forget(id)
	done := ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case <-one.wake:
		case <-done:
			done = nil
			t := time.NewTimer(cmp.Or(opt.Grace, cancelGrace))
			defer t.Stop()
			grace = t.C
			_ = c.notify(true, MethodCancel, CancelParams{ID: id}) // a broken connection ends the call by Fail
			continue
		case <-grace:
			return nil, cancelled()
		}
		c.mu.Lock()
		events := one.events
		one.events = nil
		final, bufs, gone := one.final, one.bufs, one.err
		c.mu.Unlock()
		if opt.Progress != nil {
			for _, e := range events {
				opt.Progress(e)
			}
		}
		switch {
		case final != nil:
			_ = c.notify(false, MethodAck, IDsParams{IDs: []int64{id}}) // the lease's end frees it too
			if final.Error != nil {
				return nil, final.Error
			}
			if result == nil {
				return bufs, nil
			}
			if err := json.Unmarshal(final.Result, result); err != nil {
				return nil, &Error{CodeParse, fmt.Sprintf("%s: cannot read the result: %v", method, err), ErrorData{Kind: KindProtocol}}
			}
			return bufs, nil
		case gone != nil:
			return nil, gone
		}
	}
}

func (c *Client) forget(id int64) {
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}

func (c *Client) notify(control bool, method string, params any) error {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	return conn.Send(control, notification(method, params), nil)
}

// Receive takes the data of one comm_msg. Messages of unknown requests are
// dropped: a final may come twice after Resume.
func (c *Client) Receive(data json.RawMessage, buffers [][]byte) {
	var m Message
	if json.Unmarshal(data, &m) != nil {
		return
	}
	var id int64
	switch {
	case m.Method == MethodProgress:
		var p struct {
			ID int64 `json:"id"`
		}
		if json.Unmarshal(m.Params, &p) != nil {
			return
		}
		id = p.ID
	case m.Method == "" && m.ID != nil:
		id = *m.ID
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.calls[id]
	if one == nil || one.final != nil {
		return
	}
	if m.Method == MethodProgress {
		one.events = append(one.events, m.Params)
	} else {
		one.final, one.bufs = &m, buffers
	}
	one.signal()
}

// signal wakes the call; the client's mutex is held.
func (one *call) signal() {
	select {
	case one.wake <- struct{}{}:
	default:
	}
}

// Resume goes on over a new connection to the same server: it asks for the
// finals of the open requests and sends those that the broken one did not take.
func (c *Client) Resume(conn ClientConn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	open := IDsParams{}
	for _, id := range slices.Sorted(maps.Keys(c.calls)) {
		one := c.calls[id]
		switch {
		case one.final != nil:
		case one.unsent:
			if err := conn.Send(false, one.request, one.buffers); err != nil {
				return err
			}
			one.unsent = false
		default:
			open.IDs = append(open.IDs, id)
		}
	}
	if len(open.IDs) == 0 {
		return nil
	}
	return conn.Send(false, notification(MethodResume, open), nil)
}

// Fail ends all calls, now and later, with e.
func (c *Client) Fail(e *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = e
	}
	for _, one := range c.calls {
		one.err = e
		one.signal()
	}
}

// Gone is the error of a call whose resident died or cannot be reached.
func Gone(why string) *Error {
	return &Error{CodeFailed, "the resident is gone: " + why, ErrorData{Kind: KindKernelGone, Hint: "build or open the model again: a new resident is started"}}
}
