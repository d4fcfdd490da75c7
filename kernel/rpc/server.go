package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
)

// Limits of the server's end.
const (
	maxInbox      = 1024      // messages of one client that wait to be read
	maxInboxBytes = 512 << 20 // and their buffers
	maxRunning    = 256       // requests of one client at once
	maxActive     = 4096      // requests of all clients at once
	maxCancel     = 4 << 10   // bytes of a cancel, which is read on the channel loop
	maxCancels    = 1024      // remembered cancels of requests that have not come
	maxHeld       = 4096      // finals of one client that wait for $/ack
	maxHeldBytes  = 256 << 20 // and their buffers; the oldest go first
	maxIDs        = 65536     // ids in one $/ack or $/resume
)

// Conn carries one client's messages: one comm. Send never blocks for long and
// is safe for concurrent use. parent is what Incoming.Parent was, so that an
// answer carries its request as parent.
type Conn interface {
	Send(parent any, data any, buffers [][]byte) error
	Close(parent any, data any) error
}

// Incoming is one message of a client.
type Incoming struct {
	Data    json.RawMessage
	Buffers [][]byte
	Parent  any
}

// Call is one request as its handler sees it.
type Call struct {
	ID      int64
	Buffers [][]byte // of the request
	send    func(params any)
	reply   [][]byte
}

// Progress sends $/progress with params, which carry the request's id.
func (c *Call) Progress(params any) { c.send(params) }

// Attach adds a buffer to the response and returns its description.
func (c *Call) Attach(dtype string, shape []int, data []byte) Tensor {
	t := Describe(len(c.reply), dtype, shape, data)
	c.reply = append(c.reply, data)
	return t
}

// Options say how requests of one method run.
type Options[P any] struct {
	// Buffers is the number of binary buffers that the request must have.
	Buffers int
	// Order, when not nil, names a queue: requests of one client in the same
	// queue run one after the other, as they came. Others run at once.
	Order func(p *P) string
	// Aborted, when not nil, is the result of a request that was cancelled
	// before it ran; without it that is an error of KindCancelled.
	Aborted func(p *P) any
}

// job is a request whose params were found good.
type job[S any] struct {
	order   string
	aborted func() any
	run     func(ctx context.Context, state S, c *Call) (any, error)
}

// Server dispatches the requests of any number of clients. S is what the
// service keeps for each. Register all methods with Handle before the first Accept.
type Server[S any] struct {
	Info  ServerInfo
	Lease time.Duration
	Log   *slog.Logger
	// MapError turns a handler's error into what the client sees.
	MapError func(error) *Error

	methods map[string]func(raw json.RawMessage, buffers int) (job[S], error)
	active  atomic.Int64 // requests of all clients that run or wait
}

// Handle registers a method: params are decoded strictly into P, and f's
// result R becomes the response. f's context ends when the client cancels the
// request or is gone.
func Handle[S, P, R any](s *Server[S], name string, opt Options[P], f func(ctx context.Context, state S, c *Call, p P) (R, error)) {
	if s.methods == nil {
		s.methods = map[string]func(json.RawMessage, int) (job[S], error){}
	}
	s.methods[name] = func(raw json.RawMessage, buffers int) (job[S], error) {
		var p P
		if err := decodeStrict(raw, &p); err != nil {
			return job[S]{}, err
		}
		if buffers != opt.Buffers {
			return job[S]{}, fmt.Errorf("the message has %d binary buffers, expected %d", buffers, opt.Buffers)
		}
		j := job[S]{run: func(ctx context.Context, state S, c *Call) (any, error) { return f(ctx, state, c, p) }}
		if opt.Order != nil {
			j.order = opt.Order(&p)
		}
		if opt.Aborted != nil {
			j.aborted = func() any { return opt.Aborted(&p) }
		}
		return j, nil
	}
}

// Methods lists what is registered.
func (s *Server[S]) Methods() []string { return slices.Sorted(maps.Keys(s.methods)) }

// Accept answers a comm_open: $/hello, or $/refused and a closed comm when the
// client speaks another version; then the error says so too.
func (s *Server[S]) Accept(conn Conn, open Incoming, state func(ClientInfo) S) (*Peer[S], error) {
	var o Open
	refusal := func() *Error {
		// A client of another version may have other fields: read its number first.
		var v struct {
			Protocol int `json:"protocol"`
		}
		if err := json.Unmarshal(open.Data, &v); err != nil {
			return &Error{CodeInvalidParams, "rpc: comm_open carries no {protocol, client} object", ErrorData{Kind: KindProtocol}}
		}
		if v.Protocol != ProtocolVersion {
			return versionError(v.Protocol, s.Info.Version)
		}
		if err := decodeStrict(open.Data, &o); err != nil {
			return &Error{CodeInvalidParams, "rpc: comm_open: " + err.Error(), ErrorData{Kind: KindProtocol}}
		}
		return nil
	}()
	if refusal != nil {
		_ = conn.Send(open.Parent, notification(MethodRefused, refusal), nil) // the comm closes either way
		_ = conn.Close(open.Parent, refusal)
		return nil, refusal
	}
	o.Client.Name, o.Client.Version, o.Client.Host = clip(o.Client.Name), clip(o.Client.Version), clip(o.Client.Host)
	p := newPeer(s, conn, o.Client, state(o.Client))
	hello := Hello{Protocol: ProtocolVersion, Server: s.Info, LeaseMS: s.Lease.Milliseconds()}
	if err := conn.Send(open.Parent, notification(MethodHello, hello), nil); err != nil {
		p.Close()
		return nil, err
	}
	safe.Go("rpc client", p.loop)
	return p, nil
}

// versionError names the command that brings both ends to one version.
func versionError(client int, serverVersion string) *Error {
	e := &Error{Code: CodeInvalidRequest, Data: ErrorData{Kind: KindProtocol}}
	e.Message = fmt.Sprintf("protocol versions differ: the client speaks %d, the resident (llama-go %s) speaks %d", client, serverVersion, ProtocolVersion)
	if client < ProtocolVersion {
		e.Data.Hint = "update the client: pip install -U llama-go, then restart the notebook's kernel"
	} else {
		e.Data.Hint = "end the older resident, a newer one starts by itself: llama-go stop --all"
	}
	return e
}

// clip bounds what a client says of itself, since ps prints it.
func clip(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s), "")
}

func notification(method string, params any) any {
	return struct {
		JSONRPC string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", method, params}
}

// errorWithoutID answers what could not be read as a request: its id is null.
func errorWithoutID(e *Error) any {
	return struct {
		JSONRPC string `json:"jsonrpc"`
		ID      *int64 `json:"id"`
		Error   *Error `json:"error"`
	}{"2.0", nil, e}
}
