package messaging

import (
	"sync"

	"github.com/llama-go/llama-go/internal/safe"
)

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

// signers is who has sent a signed message on some connection: sessions, and on
// ipc processes. A connection that claims to be one of them proves nothing, but
// is the last to be closed when a socket is full.
type signers struct {
	sessions map[string]bool
	pids     map[int]bool
}

func (k signers) include(p *peer) bool { return k.pids[p.pid] || k.sessions[p.identity] }

func (s *sessions) signers() signers {
	k := signers{map[string]bool{}, map[int]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.byID {
		if !c.verified {
			continue
		}
		k.sessions[id] = true
		for p := range c.peers {
			if p.pid != 0 && p.verified.Load() {
				k.pids[p.pid] = true
			}
		}
	}
	return k
}
