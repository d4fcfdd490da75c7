package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
)

// queryTime bounds the ctx of read-only requests.
const queryTime = 5 * time.Second

// loop answers the requests of shell or control, one after the other. Cells go
// to the executor, so that everything else is answered while they run.
func (s *Server) loop(r *router) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case req := <-r.in:
			if err := safe.Call(func() error { s.handle(req); return nil }); err != nil {
				s.logPanic(req.Msg.Header.MsgType, err)
			}
		}
	}
}

// inputs takes what comes in on stdin. Nothing asks for input yet.
func (s *Server) inputs(r *router) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-r.in:
		}
	}
}

// handle answers one request between busy and idle. An unknown type gets these
// two and no reply.
func (s *Server) handle(req *Request) {
	if req.Msg.Header.MsgType == "execute_request" {
		s.exec.push(req)
		return
	}
	s.bracket(req, func() {
		switch req.Msg.Header.MsgType {
		case "kernel_info_request":
			s.query(req, "kernel_info_reply", func(context.Context) (any, error) { return s.kernelInfo() })
		case "complete_request":
			s.query(req, "complete_reply", s.complete(req))
		case "inspect_request":
			s.query(req, "inspect_reply", s.inspect(req))
		case "is_complete_request":
			s.query(req, "is_complete_reply", s.isComplete(req))
		case "history_request":
			s.query(req, "history_reply", s.history(req))
		case "comm_info_request":
			s.query(req, "comm_info_reply", s.commInfo(req))
		case "comm_open", "comm_msg", "comm_close":
			s.comms.handle(req)
		case "interrupt_request":
			s.Interrupt()
			s.reply(req, "interrupt_reply", map[string]string{"status": "ok"}, nil)
		case "shutdown_request":
			s.handleShutdown(req)
		default:
			s.log.Debug("messaging: unknown message type", "type", req.Msg.Header.MsgType, "channel", req.Channel)
		}
	})
}

// bracket publishes busy, runs f and publishes idle, whatever f does.
func (s *Server) bracket(req *Request, f func()) {
	s.publishStatus("busy", req.Msg)
	defer s.exec.idle(req.Msg)
	if err := safe.Call(func() error { f(); return nil }); err != nil {
		s.logPanic(req.Msg.Header.MsgType, err)
	}
}

// reply answers a request on the connection that it came in on.
func (s *Server) reply(req *Request, msgType string, content, metadata any) {
	m, err := s.message(msgType, req.Msg, content, metadata)
	var p *packet
	if err == nil {
		m.Identities = req.Msg.Identities
		p, err = s.codec.encode(m)
	}
	if err != nil {
		s.log.Error("messaging: reply cannot be encoded", "type", msgType, "error", err)
		if content, ok := content.(map[string]any); ok && content["ename"] == "InternalError" {
			return
		}
		s.reply(req, msgType, internalError(content, err), nil)
		return
	}
	r := s.shell
	if req.Channel == Control {
		r = s.control
	}
	r.reply(req, p)
}

// internalError is the content of a reply that could not be made. An
// execute_reply keeps its execution_count.
func internalError(content any, err error) map[string]any {
	c := map[string]any{"status": "error", "ename": "InternalError", "evalue": err.Error(), "traceback": []string{}}
	if old, ok := content.(map[string]any); ok && old["execution_count"] != nil {
		c["execution_count"] = old["execution_count"]
	}
	return c
}

// query answers a read-only request; a panic or an error in f is an error reply
// to this request alone.
func (s *Server) query(req *Request, msgType string, f func(context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(s.ctx, queryTime)
	defer cancel()
	var content any
	err := safe.Call(func() (err error) { content, err = f(ctx); return err })
	if err != nil {
		s.logPanic(req.Msg.Header.MsgType, err)
		content = internalError(nil, err)
	}
	s.reply(req, msgType, content, nil)
}

func (s *Server) kernelInfo() (any, error) {
	info := s.kernel.Info()
	if info.HelpLinks == nil {
		info.HelpLinks = []HelpLink{}
	}
	if info.SupportedFeatures == nil {
		info.SupportedFeatures = []string{}
	}
	return struct {
		Status          string `json:"status"`
		ProtocolVersion string `json:"protocol_version"`
		KernelInfo
	}{"ok", ProtocolVersion, info}, nil
}

func (s *Server) complete(req *Request) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		var c CompleteRequest
		if err := content(req, &c); err != nil {
			return nil, err
		}
		r := s.kernel.Complete(ctx, c)
		if r.Matches == nil {
			r.Matches = []string{}
		}
		r.Metadata, r.Status = orObject(r.Metadata), "ok"
		return r, nil
	}
}

func (s *Server) inspect(req *Request) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		var c InspectRequest
		if err := content(req, &c); err != nil {
			return nil, err
		}
		r := s.kernel.Inspect(ctx, c)
		r.Data, r.Metadata, r.Status = orObject(r.Data), orObject(r.Metadata), "ok"
		return r, nil
	}
}

func (s *Server) isComplete(req *Request) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		var c IsCompleteRequest
		if err := content(req, &c); err != nil {
			return nil, err
		}
		r := s.kernel.IsComplete(ctx, c)
		if r.Status == "" {
			r.Status = "unknown"
		}
		return r, nil
	}
}

func (s *Server) history(req *Request) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		var c HistoryRequest
		if err := content(req, &c); err != nil {
			return nil, err
		}
		r := s.kernel.History(ctx, c)
		entries := make([]HistoryEntry, len(r.History))
		for i, e := range r.History {
			e.withOutput = c.Output
			entries[i] = e
		}
		return HistoryReply{History: entries, Status: "ok"}, nil
	}
}

func (s *Server) commInfo(req *Request) func(context.Context) (any, error) {
	return func(context.Context) (any, error) {
		var c struct {
			Target string `json:"target_name"`
		}
		if err := content(req, &c); err != nil {
			return nil, err
		}
		return map[string]any{"status": "ok", "comms": s.comms.info(c.Target)}, nil
	}
}

// content decodes a request's content. Unknown fields are ignored, null ones
// stay zero.
func content(req *Request, into any) error {
	if err := json.Unmarshal(req.Msg.Content, into); err != nil {
		return fmt.Errorf("%s: %w", req.Msg.Header.MsgType, err)
	}
	return nil
}

// handleShutdown interrupts what runs, tells everybody and stops Serve, which
// lets what is queued leave.
func (s *Server) handleShutdown(req *Request) {
	var c struct {
		Restart bool `json:"restart"`
	}
	_ = json.Unmarshal(req.Msg.Content, &c)
	s.exec.interrupt()
	reply := map[string]any{"status": "ok", "restart": c.Restart}
	if err := safe.Call(func() error { s.kernel.Shutdown(c.Restart); return nil }); err != nil {
		s.logPanic("shutdown", err)
	}
	s.reply(req, "shutdown_reply", reply, nil)
	s.broadcast("shutdown_reply", req.Msg, reply, nil)
	s.Shutdown()
}
