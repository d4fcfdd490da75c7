package kernel

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// LocalOptions make a LocalHost.
type LocalOptions struct {
	Open     engine.OpenBackend
	Estimate engine.Estimate // of Open, for the memory check; may be nil
	Threads  int             // of the engine; 0: all cores
	Version  string          // for ps
	Log      *slog.Logger    // nil: stderr, as in RunOptions
}

// LocalHost is the engine in this process: the registry and the service of the
// resident without comms.
type LocalHost struct {
	svc   *service
	owned bool // Close ends the service too
	c     *client
	once  sync.Once
}

var _ Host = (*LocalHost)(nil)

// NewLocalHost makes a Host whose engine runs in this process.
func NewLocalHost(opt LocalOptions) *LocalHost {
	if opt.Log == nil {
		opt.Log = frontLogger()
	}
	svc := newService(opt.Open, opt.Estimate, opt.Threads, rpc.ServerInfo{Version: opt.Version, PID: os.Getpid()}, opt.Log)
	h := svc.localHost("in-process", opt.Version)
	h.owned = true
	return h
}

// localHost is a Host on a service that lives longer. It does not count as an
// attached client.
func (s *service) localHost(name, version string) *LocalHost {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	c := s.newClient(rpc.ClientInfo{Name: name, Version: version, PID: os.Getpid(), Host: host})
	c.inside = true
	s.attach(c)
	return &LocalHost{svc: s, c: c}
}

// Open implements Host.
func (h *LocalHost) Open(ctx context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (Model, error) {
	r, err := h.c.openModel(ctx, p, progress)
	if err != nil {
		return nil, mapError(err)
	}
	return &localModel{h.c, r}, nil
}

// Stats implements Host.
func (h *LocalHost) Stats(context.Context) (rpc.StatsResult, error) { return h.svc.stats(), nil }

// PS implements Host.
func (h *LocalHost) PS(context.Context) (rpc.PSResult, error) { return h.svc.ps(), nil }

// Close implements Host.
func (h *LocalHost) Close() error {
	h.once.Do(func() {
		h.c.close()
		if h.owned {
			h.svc.shutdown()
		}
	})
	return nil
}

type localModel struct {
	c *client
	r rpc.OpenResult
}

func (m *localModel) Info() rpc.OpenResult { return m.r }

// orError keeps a nil *rpc.Error from becoming a non-nil error.
func orError(err error) error {
	if e := mapError(err); e != nil {
		return e
	}
	return nil
}

func (m *localModel) Tokenize(_ context.Context, p rpc.TokenizeParams) ([]int32, error) {
	p.Model = m.r.Model
	r, err := m.c.tokenize(p)
	return r.IDs, orError(err)
}

func (m *localModel) Detokenize(_ context.Context, p rpc.DetokenizeParams) (rpc.TextResult, error) {
	p.Model = m.r.Model
	r, err := m.c.detokenize(p)
	return r, orError(err)
}

func (m *localModel) EncodeDialog(_ context.Context, p rpc.ChatParams) (rpc.ChatResult, error) {
	p.Model = m.r.Model
	r, err := m.c.encodeDialog(p)
	return r, orError(err)
}

func (m *localModel) Session(_ context.Context, p rpc.SessionParams) (Session, error) {
	p.Model = m.r.Model
	r, err := m.c.openSession(p)
	if err != nil {
		return nil, mapError(err)
	}
	return &localSession{m.c, r}, nil
}

func (m *localModel) Close() error { return orError(m.c.closeModel(rpc.ModelRef{Model: m.r.Model})) }

type localSession struct {
	c *client
	r rpc.SessionResult
}

func (s *localSession) Info() rpc.SessionResult { return s.r }

func (s *localSession) Generate(ctx context.Context, p rpc.GenerateParams, emit func(rpc.GenerateProgress)) (rpc.GenerateResult, error) {
	p.Session = s.r.Session
	p.Stream = emit != nil
	r, err := s.c.generate(ctx, p, emit)
	return r, orError(err)
}

func (s *localSession) Close() error {
	return orError(s.c.closeSession(rpc.SessionRef{Session: s.r.Session}))
}
