package messaging

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// receiver reads signed messages from connections: a ROUTER's, a DEALER's or a
// SUB's.
type receiver struct {
	codec     *codec
	budget    *budget
	drops     *drops
	maxJSON   int64
	maxBuffer int64
}

// read reads p's messages until its connection ends or exceeds a limit, and
// hands over each that is signed and well formed. Others are dropped and
// counted, and their rest is skipped unread.
func (rc *receiver) read(p *peer, deliver func(*Message) error) error {
	f := newFrameReader(p.conn)
	defer rc.budget.release(p)
	a := assembly{delim: -1}
	for {
		h, err := f.header()
		if err != nil {
			return err
		}
		if h.command {
			if err := answerCommand(f, h, p, nil); err != nil {
				return err
			}
		} else if err := rc.frame(f, h, p, &a); err != nil {
			return err
		} else if !h.more {
			if err := rc.finish(p, &a, deliver); err != nil {
				return err
			}
			a = assembly{delim: -1}
		}
		if a.parts == 0 {
			f.messageEnd()
		}
	}
}

// assembly is a message while it comes in.
type assembly struct {
	frames   [][]byte
	parts    int
	size     int64
	delim    int // index of the delimiter, -1 before it
	verified bool
	dropped  bool // skip the rest
}

// frame reads one frame into the assembly and checks the signature as soon as
// the fourth JSON frame is in.
func (rc *receiver) frame(f *frameReader, h frameHeader, p *peer, a *assembly) error {
	a.parts++
	a.size += h.size // no overflow: each is at most maxBuffer past the next check
	limit := rc.maxJSON
	if a.verified || a.dropped {
		limit = rc.maxBuffer
	}
	switch {
	case a.parts > maxParts:
		return fmt.Errorf("%w: more than %d frames in a message", ErrLimit, maxParts)
	case h.size > limit:
		return fmt.Errorf("%w: frame of %d bytes, at most %d", ErrLimit, h.size, limit)
	case a.size > maxMessage:
		return fmt.Errorf("%w: message of more than %d bytes", ErrLimit, maxMessage)
	case a.dropped:
		return f.skip(h.size)
	}
	grow := func(n int) error { return rc.budget.take(p, n) }
	if a.verified {
		grow = func(int) error { return nil }
	}
	b, err := f.body(h.size, grow)
	if err != nil {
		return err
	}
	a.frames = append(a.frames, b)
	if a.delim < 0 {
		if bytes.Equal(b, delimiter) {
			a.delim = len(a.frames) - 1
		}
		return nil
	}
	if !a.verified && len(a.frames) == a.delim+2+jsonFrames {
		rc.budget.release(p)
		if err := rc.codec.check(a.frames[a.delim+1:]); err != nil {
			rc.drop(a, err)
			return nil
		}
		a.verified = true
		p.verified.Store(true)
	}
	return nil
}

// finish ends a message: it is handed over, or dropped.
func (rc *receiver) finish(p *peer, a *assembly, deliver func(*Message) error) error {
	switch {
	case a.dropped:
		return nil
	case !a.verified:
		rc.budget.release(p)
		err := ErrTooShort
		if a.delim < 0 {
			err = ErrNoDelimiter
		}
		rc.drop(a, err)
		return nil
	}
	m, err := decode(a.frames, a.delim)
	if err != nil {
		rc.drop(a, err)
		return nil
	}
	return deliver(m)
}

func (rc *receiver) drop(a *assembly, why error) {
	a.dropped = true
	a.frames = nil
	rc.drops.add(why)
}

// answerCommand reads a ZMTP command and answers PING. subscribe, when there
// is one, gets the commands of ZMTP 3.1's SUB sockets; others are ignored.
func answerCommand(f *frameReader, h frameHeader, p *peer, subscribe func(topic []byte, on bool) error) error {
	if h.size > maxCommand {
		return fmt.Errorf("%w: command of %d bytes, at most %d", ErrLimit, h.size, maxCommand)
	}
	b, err := f.body(h.size, func(int) error { return nil })
	if err != nil {
		return err
	}
	name, body, ok := cutCommand(b)
	if !ok {
		return fmt.Errorf("%w: command without a name", ErrFrame)
	}
	switch name {
	case "PING": // time to live in two bytes, then up to 16 that PONG repeats
		if len(body) < 2 || len(body) > 2+16 {
			return fmt.Errorf("%w: PING of %d bytes", ErrFrame, len(body))
		}
		return p.send(commandPacket("PONG", body[2:]))
	case "SUBSCRIBE", "CANCEL":
		if subscribe != nil {
			return subscribe(body, name == "SUBSCRIBE")
		}
	}
	return nil
}

// budget bounds what connections hold ahead of a verified signature.
type budget struct {
	mu    sync.Mutex
	held  map[*peer]int
	total int
}

func newBudget() *budget { return &budget{held: map[*peer]int{}} }

// take gives p n more bytes. When all connections together hold too much, the
// one that holds the most is closed, those that never signed anything first.
func (b *budget) take(p *peer, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[p]+n > maxUnverified {
		return fmt.Errorf("%w: more than %d bytes ahead of a signature", ErrLimit, maxUnverified)
	}
	if err := p.err(); err != nil {
		return err
	}
	for b.total+n > maxUnverifiedTotal {
		victim := p
		for q, held := range b.held {
			if worse(q, held, victim, b.held[victim]) {
				victim = q
			}
		}
		err := fmt.Errorf("%w: connections hold more than %d bytes ahead of a signature", ErrLimit, maxUnverifiedTotal)
		if victim == p {
			return err
		}
		victim.close(err)
		b.drop(victim)
	}
	b.held[p] += n
	b.total += n
	return nil
}

func worse(p *peer, held int, q *peer, heldQ int) bool {
	if pv, qv := p.verified.Load(), q.verified.Load(); pv != qv {
		return qv
	}
	return held > heldQ
}

func (b *budget) release(p *peer) {
	b.mu.Lock()
	b.drop(p)
	b.mu.Unlock()
}

func (b *budget) drop(p *peer) {
	b.total -= b.held[p]
	delete(b.held, p)
}

// drops counts dropped messages and logs one line a second at most.
type drops struct {
	log   *slog.Logger
	count atomic.Int64
	last  atomic.Int64 // Unix nanoseconds of the last line
}

func (d *drops) add(why error) {
	n := d.count.Add(1)
	now := time.Now().UnixNano()
	if last := d.last.Load(); now-last >= int64(time.Second) && d.last.CompareAndSwap(last, now) {
		d.log.Warn("messaging: message dropped", "reason", why, "dropped", n)
	}
}
