package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// Limits of what one client may hold at once.
const (
	maxModels   = 64
	maxSessions = 1024
	maxResults  = 4096
	maxUploads  = 16
)

// service is what the methods of kernel/rpc do, without comms: the resident and
// LocalHost share it.
type service struct {
	reg   *registry
	log   *slog.Logger
	info  rpc.ServerInfo
	idle  time.Duration
	start time.Time

	promptTokens, generatedTokens atomic.Int64
	resultBytes                   atomic.Int64
	promised                      atomic.Int64 // bytes of uploads under way that have not come yet
	active                        counter

	mu      sync.Mutex
	clients map[*client]struct{}
	touched time.Time // when a request last ended or a client with models last went
	stop    func()    // ends the process's Serve; nil in LocalHost
}

func newService(open engine.OpenBackend, estimate engine.Estimate, threads int, info rpc.ServerInfo, log *slog.Logger) *service {
	now := time.Now()
	return &service{
		reg: newRegistry(open, estimate, threads, log), log: log, info: info,
		start: now, touched: now, clients: map[*client]struct{}{},
	}
}

// client is one client's handles. Ids are the client's own: another client's
// are unknown to it.
type client struct {
	svc       *service
	info      rpc.ClientInfo
	inside    bool // the process's own front: it keeps nothing alive
	connected func() bool
	requests  func() int
	ctx       context.Context // ends when the client goes
	cancel    context.CancelFunc

	mu       sync.Mutex
	closed   bool
	lastID   int
	models   map[string]*model
	sessions map[string]*session
	results  map[string]*logits
	uploads  map[string]*upload
}

func (s *service) newClient(info rpc.ClientInfo) *client {
	ctx, cancel := context.WithCancel(context.Background())
	return &client{
		svc: s, info: info, ctx: ctx, cancel: cancel,
		connected: func() bool { return true }, requests: func() int { return 0 },
		models: map[string]*model{}, sessions: map[string]*session{}, results: map[string]*logits{}, uploads: map[string]*upload{},
	}
}

// attach makes a client count, once its fields are set.
func (s *service) attach(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = struct{}{}
}

// touch notes that the service was used.
func (s *service) touch() {
	s.mu.Lock()
	s.touched = time.Now()
	s.mu.Unlock()
}

// attached counts the clients from outside, without c.
func (s *service) attached(c *client) int {
	n := 0
	for _, other := range s.allClients() {
		if other != c && !other.inside {
			n++
		}
	}
	return n
}

// idleFor is how long no client has been attached and nothing has run.
func (s *service) idleFor() time.Duration {
	if s.attached(nil) > 0 || s.active.get() > 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.touched)
}

// work counts a request that uses the engine until done is called.
func (s *service) work(in *instance) (done func()) {
	s.active.add(1)
	in.active.add(1)
	return func() {
		in.active.add(-1)
		s.active.add(-1)
		s.touch()
	}
}

// close frees all that the client holds. Its requests have ended, or end with
// its context.
func (c *client) close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	models, sessions, results, uploads := c.models, c.sessions, c.results, c.uploads
	c.models, c.sessions, c.results, c.uploads = nil, nil, nil, nil
	c.mu.Unlock()
	c.cancel()
	for _, s := range sessions {
		s.close()
	}
	freed := int64(0)
	for _, r := range results {
		c.svc.resultBytes.Add(-r.bytes())
		freed += r.bytes()
	}
	for _, u := range uploads {
		u.mu.Lock()
		freed += u.end()
		u.mu.Unlock()
	}
	giveBack(freed)
	for _, m := range models {
		m.close()
	}
	c.svc.mu.Lock()
	delete(c.svc.clients, c)
	if len(models) > 0 {
		c.svc.touched = time.Now()
	}
	c.svc.mu.Unlock()
}

// shutdown ends all loads and frees all models; the clients are closed.
func (s *service) shutdown() {
	s.mu.Lock()
	all := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.close()
	}
	s.reg.close()
}

// put files a handle in one of the client's maps under a new id. It refuses
// when there are limit of them, or when the client has gone meanwhile.
func put[T any](c *client, table func() map[string]T, prefix, what string, limit int, v T) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "", context.Canceled
	}
	t := table()
	if len(t) >= limit {
		return "", requestError("close those that are not used any more", "this client holds %d %s already, at most %d are allowed", len(t), what, limit)
	}
	c.lastID++
	id := fmt.Sprintf("%s%d", prefix, c.lastID)
	t[id] = v
	return id, nil
}

// get finds a handle by its id.
func get[T any](c *client, table map[string]T, what, id string) (T, error) {
	v, ok := table[id]
	if !ok {
		return v, requestError("it was closed, or belongs to another client or to a resident that has ended", "unknown %s %.40q", what, id)
	}
	return v, nil
}

func (c *client) model(id string) (*model, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return get(c, c.models, "model", id)
}

func (c *client) session(id string) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return get(c, c.sessions, "session", id)
}

func (c *client) result(id string) (*logits, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return get(c, c.results, "result", id)
}

func (c *client) upload(id string) (*upload, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return get(c, c.uploads, "upload", id)
}

// giveBack returns freed memory to the system when it is much: the memory guard
// counts what the system has left, and the runtime would keep it for minutes.
func giveBack(freed int64) {
	if freed >= 64<<20 {
		safe.Go("free memory", debug.FreeOSMemory)
	}
}

// memory refuses n more bytes when they are not available beside what uploads
// have been promised. It evicts shared models that nobody uses first.
func (s *service) memory(n int64) error {
	_, err := retryEvicting(s.reg, func() (struct{}, error) {
		return struct{}{}, engine.CheckMemory(engine.Memory{Workspace: n + s.promised.Load()})
	})
	return err
}
