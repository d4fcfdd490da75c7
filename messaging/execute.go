package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
)

// Limits of the queue of executions. Only clients with the key can fill it.
const (
	maxExecutions     = 4096
	maxExecutionBytes = 256 << 20
)

// abortWindow is how long after an error an execute_request that its client
// made before the error may still come in and be aborted: it was on its way.
const abortWindow = 100 * time.Millisecond

// Stopper is an optional interface of a Kernel. Stops is asked about each cell
// that comes in while another one runs; true interrupts the running one, and
// the new cell is executed afterwards, error or not. It lets a cell such as
// %stop do what front ends without an interrupt key cannot.
type Stopper interface {
	Stops(code string) bool
}

// executor runs execute_requests one at a time, in order.
type executor struct {
	s *Server

	mu      sync.Mutex
	queue   []*execution
	bytes   int
	count   int        // execution_count of the last stored cell
	running *execution // nil between cells
	errorAt time.Time  // when a cell with stop_on_error failed
	wake    chan struct{}
}

// execution is one execute_request.
type execution struct {
	req     *Request
	content executeContent
	keep    bool // not aborted by an earlier error
	cancel  context.CancelFunc
}

type executeContent struct {
	Code            string            `json:"code"`
	Silent          bool              `json:"silent"`
	StoreHistory    *bool             `json:"store_history"` // default: !silent
	AllowStdin      *bool             `json:"allow_stdin"`   // default: true
	StopOnError     *bool             `json:"stop_on_error"` // default: true
	UserExpressions map[string]string `json:"user_expressions"`
}

func orTrue(b *bool) bool { return b == nil || *b }

func newExecutor(s *Server) *executor {
	return &executor{s: s, wake: make(chan struct{}, 1)}
}

// push queues a request. A malformed one, and one too many, is refused at once.
func (e *executor) push(req *Request) {
	x := &execution{req: req}
	if err := json.Unmarshal(req.Msg.Content, &x.content); err != nil {
		e.refuse(req, "BadRequest", "execute_request: "+err.Error())
		return
	}
	x.keep = e.stops(x.content.Code)
	e.mu.Lock()
	full := len(e.queue) >= maxExecutions || e.bytes+len(req.Msg.Content) > maxExecutionBytes
	if !full {
		e.queue = append(e.queue, x)
		e.bytes += len(req.Msg.Content)
	}
	e.mu.Unlock()
	switch {
	case full:
		e.refuse(req, "QueueFull", fmt.Sprintf("%d cells wait already", maxExecutions))
		return
	case x.keep:
		e.s.Interrupt()
	}
	notify(e.wake)
}

// stops reports whether a cell that has just come in stops the running one.
func (e *executor) stops(code string) (stops bool) {
	st, ok := e.s.kernel.(Stopper)
	if !ok || !e.busy() {
		return false
	}
	if err := safe.Call(func() error { stops = st.Stops(code); return nil }); err != nil {
		e.s.logPanic("stops", err)
	}
	return stops
}

func (e *executor) busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running != nil
}

// pop waits for the next request; nil when none is left and the server stops.
func (e *executor) pop() *execution {
	for {
		e.mu.Lock()
		if len(e.queue) > 0 {
			x := e.queue[0]
			e.queue[0] = nil
			e.queue = e.queue[1:]
			e.bytes -= len(x.req.Msg.Content)
			e.mu.Unlock()
			return x
		}
		e.mu.Unlock()
		select {
		case <-e.wake:
		case <-e.s.ctx.Done():
			return nil
		}
	}
}

// run executes what is queued until the server stops, and answers what is left
// then.
func (e *executor) run() {
	for {
		x := e.pop()
		switch {
		case x == nil:
			return
		case e.s.ctx.Err() != nil:
			e.refuse(x.req, "Aborted", "the kernel shuts down")
		case e.aborts(x):
			e.refuse(x.req, "Aborted", "an earlier cell failed")
		default:
			e.execute(x)
		}
	}
}

// aborts reports whether x was sent before its client could know that an
// earlier cell failed.
func (e *executor) aborts(x *execution) bool {
	if x.keep || e.errorAt.IsZero() {
		return false
	}
	received := x.req.received
	if !received.After(e.errorAt) {
		return true
	}
	made, err := time.Parse(time.RFC3339Nano, x.req.Msg.Header.Date)
	return err == nil && received.Sub(e.errorAt) < abortWindow && made.Before(e.errorAt)
}

// execute runs one cell: busy, execute_input, outputs, error, reply, idle.
func (e *executor) execute(x *execution) {
	s, m, c := e.s, x.req.Msg, x.content
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	store := !c.Silent && orTrue(c.StoreHistory)

	e.mu.Lock()
	x.cancel = cancel
	e.running = x
	if store {
		e.count++
	}
	count := e.count
	s.publishStatus("busy", m)
	e.mu.Unlock()

	req := &ExecuteRequest{
		Code: c.Code, Silent: c.Silent, StoreHistory: store,
		AllowStdin: orTrue(c.AllowStdin), StopOnError: orTrue(c.StopOnError),
		UserExpressions: c.UserExpressions, Count: count, Session: x.req.Session(), Request: x.req,
	}
	_ = json.Unmarshal(m.Metadata, &req.Metadata)
	req.CellID, _ = req.Metadata["cellId"].(string)
	if !c.Silent {
		s.broadcast("execute_input", m, map[string]any{"code": c.Code, "execution_count": count}, nil)
	}
	out := &Output{s: s, parent: m, count: count, silent: c.Silent}
	started := Date(time.Now())
	var reply ExecuteReply
	err := safe.Call(func() error { reply = s.kernel.Execute(ctx, req, out); return nil })
	if err != nil {
		s.logPanic("execute", err)
		reply = ExecuteReply{Status: "error", EName: "InternalError", EValue: err.Error()}
	}
	if reply.Status == "error" {
		if req.StopOnError {
			e.errorAt = time.Now()
		}
		out.publish("error", errorFields(&reply))
	}
	out.end()
	s.reply(x.req, "execute_reply", e.replyContent(req, &reply), replyMetadata(started, reply.Metadata))

	e.mu.Lock()
	e.running = nil
	s.publishStatus("idle", m)
	e.mu.Unlock()
}

// errorFields makes the three fields of an error; traceback is never null.
func errorFields(r *ExecuteReply) map[string]any {
	tb := r.Traceback
	if tb == nil {
		tb = []string{}
	}
	return map[string]any{"ename": r.EName, "evalue": r.EValue, "traceback": tb}
}

// replyContent has execution_count whatever the status.
func (e *executor) replyContent(req *ExecuteRequest, r *ExecuteReply) map[string]any {
	c := map[string]any{"status": "ok"}
	expressions := map[string]any{}
	if r.Status == "error" {
		c = errorFields(r)
		c["status"] = "error"
	} else {
		for name := range req.UserExpressions {
			if v, ok := r.UserExpressions[name]; ok {
				expressions[name] = v
			} else {
				expressions[name] = map[string]any{"status": "error", "ename": "NotSupported", "evalue": "this kernel has no user expressions", "traceback": []string{}}
			}
		}
	}
	payload := r.Payload
	if payload == nil {
		payload = []map[string]any{}
	}
	c["execution_count"] = req.Count
	c["payload"] = payload
	c["user_expressions"] = expressions
	return c
}

func replyMetadata(started string, own map[string]any) map[string]any {
	m := map[string]any{"started": started}
	for k, v := range own {
		m[k] = v
	}
	return m
}

// refuse answers an execute_request that does not run, with all the fields of
// an error.
func (e *executor) refuse(req *Request, ename, evalue string) {
	e.mu.Lock()
	count := e.count
	e.mu.Unlock()
	e.s.bracket(req, func() {
		c := e.replyContent(&ExecuteRequest{Count: count}, &ExecuteReply{Status: "error", EName: ename, EValue: evalue})
		e.s.reply(req, "execute_reply", c, replyMetadata(Date(time.Now()), nil))
	})
}

// interrupt ends the ctx of the running cell.
func (e *executor) interrupt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running != nil {
		e.running.cancel()
	}
}

// idle publishes the idle of a request other than the running cell's, and busy
// for that one again: a front end that only looks at the last status would
// otherwise show idle while the cell runs.
func (e *executor) idle(m *Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.s.publishStatus("idle", m)
	if e.running != nil {
		e.s.publishStatus("busy", e.running.req.Msg)
	}
}
