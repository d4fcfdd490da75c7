package messaging

import "time"

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
