package messaging

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrQueueFull closes a connection whose peer does not read: its queue of
// whole messages has reached maxQueue.
var ErrQueueFull = errors.New("messaging: outbound queue full")

// errClosed is the reason of an orderly close.
var errClosed = errors.New("messaging: closed")

// peer is one connection past its accept: a queue of whole messages with one
// goroutine that writes them, and a reader that belongs to the socket's type.
type peer struct {
	conn     net.Conn
	uid      int // of the process at the other end of an ipc socket; -1: unknown
	pid      int
	identity string // ZMQ identity, unverified; set before the peer is shown to anyone
	limit    int64  // of waiting bytes

	ready    atomic.Bool // handshake done
	verified atomic.Bool // has sent a message with a good signature
	opened   time.Time

	mu       sync.Mutex
	waiting  []*packet
	bytes    int64         // of waiting packets up to limit
	large    bool          // one packet above limit waits
	small    int           // PONGs and welcomes among waiting
	reason   error         // why it was closed; nil while open
	draining bool          // close once the queue is empty
	subs     subscriptions // of an iopub peer; guarded by xpub.mu

	wake   chan struct{} // for the writer: something is waiting, or closed; capacity 1
	space  chan struct{} // for waitSpace: packets have left; capacity 1
	closed chan struct{}
}

func newPeer(conn net.Conn, limit int64) *peer {
	p := &peer{
		conn: conn, uid: -1, limit: limit, opened: time.Now(),
		wake: make(chan struct{}, 1), space: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	p.uid, p.pid = credentials(conn)
	return p
}

// packet is a message as it goes out: frames with their headers, shared by all
// peers that get it and never changed.
type packet struct {
	bufs  net.Buffers
	size  int64
	small bool // an answer that a peer can ask for without a signature
}

// send queues a packet. It never waits: a peer whose queue is full is closed.
// One packet larger than the limit may wait besides the others, so that an
// empty queue takes any legal message.
func (p *peer) send(m *packet) error {
	p.mu.Lock()
	err := p.reason
	switch {
	case err != nil:
	case p.draining:
		err = errClosed
	case m.size > p.limit && p.large,
		m.size <= p.limit && p.bytes+m.size > p.limit:
		err = fmt.Errorf("%w: %d messages with %d bytes wait", ErrQueueFull, len(p.waiting), p.bytes)
	case m.small && p.small >= maxSmallReplies:
		err = fmt.Errorf("%w: %d small replies wait", ErrQueueFull, p.small)
	default:
		if m.size > p.limit {
			p.large = true
		} else {
			p.bytes += m.size
		}
		if m.small {
			p.small++
		}
		p.waiting = append(p.waiting, m)
	}
	p.mu.Unlock()
	if errors.Is(err, ErrQueueFull) {
		p.close(err)
	}
	if err == nil {
		notify(p.wake)
	}
	return err
}

// notify wakes the one goroutine that waits on a channel of capacity 1.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// close closes the connection for a reason; the first one stays.
func (p *peer) close(reason error) {
	p.mu.Lock()
	first := p.reason == nil
	if first {
		p.reason = reason
		p.waiting, p.bytes = nil, 0
	}
	p.mu.Unlock()
	if first {
		p.conn.Close()
		close(p.closed)
	}
}

// err is why the peer was closed, nil while it is open.
func (p *peer) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// drain takes no more packets and closes the peer once what waits is written
// and the other side has seen the end, at the latest at the deadline.
func (p *peer) drain(deadline time.Time) {
	p.mu.Lock()
	p.draining = true
	p.mu.Unlock()
	notify(p.wake)
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-p.closed:
	case <-t.C:
		p.close(errClosed)
	}
}

// next takes the packets for one write: all that fit writeStep, at least one.
// It waits for them; ok is false when the peer is closed or drained.
func (p *peer) next(batch []*packet) (_ []*packet, ok bool) {
	for {
		p.mu.Lock()
		if p.reason != nil {
			p.mu.Unlock()
			return nil, false
		}
		var size int64
		n := 0
		for n < len(p.waiting) && (n == 0 || size+p.waiting[n].size <= writeStep) {
			m := p.waiting[n]
			size += m.size
			if m.size > p.limit {
				p.large = false
			} else {
				p.bytes -= m.size
			}
			if m.small {
				p.small--
			}
			batch = append(batch, m)
			n++
		}
		clear(p.waiting[:n])
		if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
			p.waiting = nil
		}
		draining := p.draining
		p.mu.Unlock()
		notify(p.space)
		if n > 0 {
			return batch, true
		}
		if draining {
			return nil, false
		}
		select {
		case <-p.wake:
		case <-p.closed:
		}
	}
}

// waitSpace waits until a packet of size bytes can be sent, for those who may
// wait: a reader that answers on its own goroutine, a client's sender. Others
// that send at the same time may still take the place.
func (p *peer) waitSpace(size int64) error {
	defer notify(p.space) // there may be more for the next one that waits
	for {
		p.mu.Lock()
		err := p.reason
		full := p.bytes > 0 && p.bytes+size > p.limit/2
		p.mu.Unlock()
		if err != nil || !full {
			return err
		}
		select {
		case <-p.space:
		case <-p.closed:
		}
	}
}

// writeLoop writes what is queued until the peer is closed or drained.
func (p *peer) writeLoop() {
	var batch []*packet
	for {
		var ok bool
		if batch, ok = p.next(batch[:0]); !ok {
			break
		}
		if err := p.write(batch); err != nil {
			p.close(err)
			return
		}
		clear(batch)
	}
	// Half-close and let the reader see the other side's end: closing with
	// unread input would reset the connection and lose what was just written.
	if c, ok := p.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		select {
		case <-p.closed:
		case <-time.After(lingerTime / 4):
		}
	}
	p.close(errClosed)
}

// write writes packets in vectored writes of at most writeStep, each under its
// own stall timer: a slow peer lives as long as it takes something.
func (p *peer) write(batch []*packet) error {
	var all net.Buffers
	for _, m := range batch {
		all = append(all, m.bufs...)
	}
	for len(all) > 0 {
		var step net.Buffers
		step, all = cutBuffers(all, writeStep)
		for len(step) > 0 {
			if err := p.conn.SetWriteDeadline(time.Now().Add(stallTime)); err != nil {
				return err
			}
			n, err := step.WriteTo(p.conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if n > 0 {
					continue
				}
				return fmt.Errorf("%w: no byte taken within %v", ErrStall, stallTime)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// cutBuffers splits b after n bytes. The first part has its own backing array,
// because WriteTo consumes it.
func cutBuffers(b net.Buffers, n int) (first, rest net.Buffers) {
	for i, s := range b {
		if len(s) >= n {
			first = append(first, s[:n])
			rest = append(net.Buffers(nil), b[i:]...)
			rest[0] = s[n:]
			if len(rest[0]) == 0 {
				rest = rest[1:]
			}
			return first, rest
		}
		first = append(first, s)
		n -= len(s)
	}
	return first, nil
}
