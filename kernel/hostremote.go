package kernel

import (
	"context"
	"encoding/json"
	"os"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// ConnectOptions say which resident a Host is to reach.
type ConnectOptions struct {
	// ConnectionFile names a resident; "" is LLAMA_GO_CONNECTION, and without
	// that the user's resident of this binary, found or started.
	ConnectionFile string
	Version        string // of this binary
	Exe            string // the binary to start; "": this one
	ClientName     string // for ps, e.g. "console"
}

// ConnectHost returns a Host that is a client of the resident. When the
// resident dies, the calls that were cut return KindKernelGone, and so do later
// ones on handles of the dead one; the next Open, Stats or PS finds or starts a
// new one.
func ConnectHost(ctx context.Context, opt ConnectOptions) (Host, error) {
	if opt.ConnectionFile == "" {
		opt.ConnectionFile = os.Getenv("LLAMA_GO_CONNECTION")
	}
	h := &remoteHost{opt: opt, turn: make(chan struct{}, 1)}
	if _, err := h.get(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

type remoteHost struct {
	opt  ConnectOptions
	turn chan struct{} // capacity 1: who looks at link

	link   *link
	closed bool
}

// get returns a link to a living resident.
func (h *remoteHost) get(ctx context.Context) (*link, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, mapError(ctx.Err())
	}
	if h.closed {
		return nil, requestError("", "the host is closed")
	}
	if h.link != nil {
		if !h.link.lost() {
			return h.link, nil
		}
		h.link.close()
		h.link = nil
	}
	path := h.opt.ConnectionFile
	if path == "" {
		var err error
		path, _, err = FindOrStart(ctx, FindOptions{Version: h.opt.Version, Exe: h.opt.Exe})
		if err != nil {
			e := rpc.Gone(err.Error())
			e.Data.Hint = "llama-go logs shows more; llama-go doctor checks the installation"
			return nil, e
		}
	}
	name := h.opt.ClientName
	if name == "" {
		name = "llama-go"
	}
	l, err := dialLink(ctx, path, rpc.ClientInfo{Name: name, Version: h.opt.Version, PID: os.Getpid(), Host: hostname()})
	if err != nil {
		return nil, mapError(err)
	}
	h.link = l
	return l, nil
}

// ask makes a request that has no progress.
func ask[R any](ctx context.Context, l *link, method string, params any) (R, error) {
	var r R
	_, err := l.rpc.Call(ctx, method, params, &r, rpc.CallOptions{})
	return r, orError(err)
}

// progressOf decodes progress params for f.
func progressOf[P any](f func(P)) func(json.RawMessage) {
	if f == nil {
		return nil
	}
	return func(raw json.RawMessage) {
		var p P
		if json.Unmarshal(raw, &p) == nil {
			f(p)
		}
	}
}

// Open implements Host.
func (h *remoteHost) Open(ctx context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (Model, error) {
	l, err := h.get(ctx)
	if err != nil {
		return nil, err
	}
	var r rpc.OpenResult
	if _, err := l.rpc.Call(ctx, rpc.MethodModelOpen, p, &r, rpc.CallOptions{Progress: progressOf(progress)}); err != nil {
		return nil, mapError(err)
	}
	return &remoteModel{l, r}, nil
}

// Stats implements Host.
func (h *remoteHost) Stats(ctx context.Context) (rpc.StatsResult, error) {
	l, err := h.get(ctx)
	if err != nil {
		return rpc.StatsResult{}, err
	}
	return ask[rpc.StatsResult](ctx, l, rpc.MethodStats, rpc.Empty{})
}

// PS implements Host.
func (h *remoteHost) PS(ctx context.Context) (rpc.PSResult, error) {
	l, err := h.get(ctx)
	if err != nil {
		return rpc.PSResult{}, err
	}
	return ask[rpc.PSResult](ctx, l, rpc.MethodPS, rpc.Empty{})
}

// Close implements Host.
func (h *remoteHost) Close() error {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	h.closed = true
	if h.link != nil {
		h.link.close()
		h.link = nil
	}
	return nil
}

type remoteModel struct {
	l *link
	r rpc.OpenResult
}

func (m *remoteModel) Info() rpc.OpenResult { return m.r }

func (m *remoteModel) Tokenize(ctx context.Context, p rpc.TokenizeParams) ([]int32, error) {
	p.Model = m.r.Model
	r, err := ask[rpc.IDs](ctx, m.l, rpc.MethodTokenize, p)
	return r.IDs, err
}

func (m *remoteModel) Detokenize(ctx context.Context, p rpc.DetokenizeParams) (rpc.TextResult, error) {
	p.Model, p.IDs = m.r.Model, notNil(p.IDs)
	return ask[rpc.TextResult](ctx, m.l, rpc.MethodDetokenize, p)
}

func (m *remoteModel) EncodeDialog(ctx context.Context, p rpc.ChatParams) (rpc.ChatResult, error) {
	p.Model = m.r.Model
	return ask[rpc.ChatResult](ctx, m.l, rpc.MethodChatEncode, p)
}

func (m *remoteModel) Session(ctx context.Context, p rpc.SessionParams) (Session, error) {
	p.Model = m.r.Model
	r, err := ask[rpc.SessionResult](ctx, m.l, rpc.MethodSessionOpen, p)
	if err != nil {
		return nil, err
	}
	return &remoteSession{m.l, r}, nil
}

func (m *remoteModel) Close() error {
	return closeHandle(m.l, rpc.MethodModelClose, rpc.ModelRef{Model: m.r.Model})
}

// closeHandle closes a handle; one of a dead resident is closed already.
func closeHandle(l *link, method string, ref any) error {
	if l.lost() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	_, err := l.rpc.Call(ctx, method, ref, nil, rpc.CallOptions{Grace: redialWait})
	return orError(err)
}

type remoteSession struct {
	l *link
	r rpc.SessionResult
}

func (s *remoteSession) Info() rpc.SessionResult { return s.r }

func (s *remoteSession) Generate(ctx context.Context, p rpc.GenerateParams, emit func(rpc.GenerateProgress)) (rpc.GenerateResult, error) {
	p.Session = s.r.Session
	p.Stream = emit != nil
	var r rpc.GenerateResult
	_, err := s.l.rpc.Call(ctx, rpc.MethodGenerate, p, &r, rpc.CallOptions{Progress: progressOf(emit)})
	if err != nil && ctx.Err() != nil && isCancel(err) {
		return interrupted(&p), nil // it ended before it was sent
	}
	return r, orError(err)
}

func (s *remoteSession) Close() error {
	return closeHandle(s.l, rpc.MethodSessionClose, rpc.SessionRef{Session: s.r.Session})
}
