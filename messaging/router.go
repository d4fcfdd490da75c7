package messaging

import (
	"sync"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
)

// router is a ROUTER socket: requests come in with the connection that they
// came from, and replies leave on it.
type router struct {
	socket
	rc       *receiver
	sessions *sessions // nil: not counted (stdin)
	in       chan *Request
	stop     <-chan struct{}
}

// receive reads a peer's requests into in. When nobody takes them, the peer has
// to wait.
func (r *router) receive(p *peer) error {
	return r.rc.read(p, func(m *Message) error {
		if r.sessions != nil {
			r.sessions.add(m.Header.Session, p, true)
		}
		select {
		case r.in <- &Request{Msg: m, Channel: r.ch, from: p, received: time.Now()}:
			return nil
		case <-p.closed:
			return p.err()
		case <-r.stop:
			return r.discard(p)
		}
	})
}

// discard reads on after the loops have ended, so that what is still queued for
// the peer is not lost to a reset.
func (r *router) discard(p *peer) error {
	f := newFrameReader(p.conn)
	for {
		if err := f.skip(maxAhead); err != nil {
			return err
		}
	}
}

// reply sends a packet to the connection that a request came in on. When that
// one is gone, it goes to the newest one with the same identity that has sent a
// signed message: a client that reconnected.
func (r *router) reply(req *Request, m *packet) {
	if req.from.send(m) == nil || req.from.identity == "" {
		return
	}
	var newest *peer
	for _, p := range r.list() {
		if p.identity == req.from.identity && p.verified.Load() && p.err() == nil && (newest == nil || p.opened.After(newest.opened)) {
			newest = p
		}
	}
	if newest != nil {
		_ = newest.send(m)
	}
}

// sessions counts the connections of each client session.
type sessions struct {
	mu     sync.Mutex
	byID   map[string]*sessionConns
	byPeer map[*peer][]string
	gone   func(session string)
}

type sessionConns struct {
	peers    map[*peer]struct{}
	verified bool // some connection has sent a signed message of this session
}

// A connection is remembered for this many sessions, the latest ones.
const sessionsPerPeer = 16

func newSessions() *sessions {
	return &sessions{byID: map[string]*sessionConns{}, byPeer: map[*peer][]string{}}
}

// add says that p is a connection of the session.
func (s *sessions) add(session string, p *peer, verified bool) {
	if session == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[session]
	if c == nil {
		c = &sessionConns{peers: map[*peer]struct{}{}}
		s.byID[session] = c
	}
	c.verified = c.verified || verified
	if _, ok := c.peers[p]; ok {
		return
	}
	c.peers[p] = struct{}{}
	ids := append(s.byPeer[p], session)
	if len(ids) > sessionsPerPeer {
		s.leave(ids[0], p)
		ids = ids[1:]
	}
	s.byPeer[p] = ids
}

// remove says that p is gone.
func (s *sessions) remove(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.byPeer[p] {
		s.leave(id, p)
	}
	delete(s.byPeer, p)
}

func (s *sessions) leave(session string, p *peer) {
	c := s.byID[session]
	delete(c.peers, p)
	if len(c.peers) > 0 {
		return
	}
	delete(s.byID, session)
	if f := s.gone; f != nil && c.verified {
		safe.Go("disconnect", func() { f(session) })
	}
}

func (s *sessions) connected(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[session] != nil
}

func (s *sessions) onGone(f func(string)) {
	s.mu.Lock()
	s.gone = f
	s.mu.Unlock()
}
