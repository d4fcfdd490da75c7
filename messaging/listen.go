package messaging

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"

	"github.com/llama-go/llama-go/internal/safe"
)

// socket is one bound socket: its accept loop and its connections.
type socket struct {
	ch    Channel
	typ   zmq4.SocketType
	ln    net.Listener
	queue int64 // outbound limit of a peer
	log   *slog.Logger

	read    func(*peer) error // reads messages until the connection ends
	open    func(*peer)       // a handshake is done
	gone    func(*peer)       // a connection that was open is gone
	trusted func() signers    // who is known by other connections

	mu     sync.Mutex
	peers  map[*peer]struct{}
	closed bool
	wg     sync.WaitGroup
}

// serve accepts connections until the listener is closed.
func (s *socket) serve() {
	s.wg.Add(1)
	safe.Go("accept "+string(s.ch), func() {
		defer s.wg.Done()
		var logged time.Time
		for {
			conn, err := s.ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				if now := time.Now(); now.Sub(logged) >= time.Second {
					logged = now
					s.log.Warn("messaging: accept failed", "channel", s.ch, "error", err)
				}
				time.Sleep(acceptPause)
				continue
			}
			s.admit(conn)
		}
	})
}

// admit gives a connection a place, if need be that of the oldest one that has
// never sent a verified message, and greets it on its own goroutine.
func (s *socket) admit(conn net.Conn) {
	p := newPeer(conn, s.queue)
	s.mu.Lock()
	victim, full := s.makeRoom(p)
	if s.closed || full {
		s.mu.Unlock()
		conn.Close()
		return
	}
	if victim != nil {
		delete(s.peers, victim)
	}
	s.peers[p] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	if victim != nil {
		victim.close(errEvicted)
	}
	safe.Go("peer "+string(s.ch), func() {
		defer s.wg.Done()
		defer s.forget(p)
		err := errors.New("messaging: reader panicked") // unless run returns
		defer func() { p.close(err) }()
		err = s.run(p)
	})
}

var errEvicted = errors.New("messaging: evicted: the socket is full and this connection never sent a signed message")

// makeRoom says whom to close so that p can come in; full: nobody can.
func (s *socket) makeRoom(p *peer) (victim *peer, full bool) {
	same := 0
	for q := range s.peers {
		if q.uid == p.uid {
			same++
		}
	}
	if same < maxConns && len(s.peers) < maxConns*maxConnsUIDs {
		return nil, false
	}
	trusted := s.trusted()
	for q := range s.peers {
		if (same < maxConns || q.uid == p.uid) && !q.verified.Load() && (victim == nil || goesBefore(q, victim, trusted)) {
			victim = q
		}
	}
	return victim, victim == nil
}

// goesBefore reports whether p has to go rather than q: not known by another
// connection, then not past its handshake, then older.
func goesBefore(p, q *peer, known signers) bool {
	if kp, kq := known.include(p), known.include(q); kp != kq {
		return kq
	}
	if rp, rq := p.ready.Load(), q.ready.Load(); rp != rq {
		return rq
	}
	return p.opened.Before(q.opened)
}

// run greets a peer and serves it until its connection ends; the error says
// why it does.
func (s *socket) run(p *peer) error {
	if err := p.conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	info, err := handshake(p.conn, s.typ, "", true)
	if err != nil {
		s.log.Debug("messaging: handshake failed", "channel", s.ch, "error", err)
		return err
	}
	if err := p.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	p.identity = info.identity
	p.ready.Store(true)
	if s.open != nil {
		s.open(p)
		defer s.gone(p)
	}
	s.wg.Add(1)
	safe.Go("writer "+string(s.ch), func() {
		defer s.wg.Done()
		defer p.close(errClosed)
		p.writeLoop()
	})
	err = s.read(p)
	s.log.Debug("messaging: connection ended", "channel", s.ch, "error", err)
	return err
}

// forget takes a closed peer out of the table.
func (s *socket) forget(p *peer) {
	s.mu.Lock()
	delete(s.peers, p)
	s.mu.Unlock()
}

// list is the peers that are past their handshake.
func (s *socket) list() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := make([]*peer, 0, len(s.peers))
	for p := range s.peers {
		if p.ready.Load() {
			ps = append(ps, p)
		}
	}
	return ps
}

// close stops accepting, lets every peer's queue leave until the deadline and
// waits for all goroutines.
func (s *socket) close(deadline time.Time) {
	s.mu.Lock()
	s.closed = true
	peers := make([]*peer, 0, len(s.peers))
	for p := range s.peers {
		peers = append(peers, p)
	}
	s.mu.Unlock()
	s.ln.Close()
	var wg sync.WaitGroup
	for _, p := range peers {
		if !p.ready.Load() {
			p.close(errClosed)
			continue
		}
		wg.Add(1)
		safe.Go("drain", func() {
			defer wg.Done()
			p.drain(deadline)
		})
	}
	wg.Wait()
	s.wg.Wait()
}
