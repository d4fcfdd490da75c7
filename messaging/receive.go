package messaging

import (
	"bytes"
	"fmt"
	"log/slog"
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
	var a assembly
	defer func() {
		rc.budget.release(p)
		a.slab.reset()
	}()
	a.reset()
	for {
		h, err := f.header()
		if err != nil {
			return err
		}
		if h.command {
			if err := answerCommand(f, h, p, nil); err != nil {
				return err
			}
			a.pace.spend(h.size)
		} else if err := rc.frame(f, h, p, &a); err != nil {
			return err
		} else if !h.more {
			if err := rc.finish(p, &a, deliver); err != nil {
				return err
			}
			if a.dropped {
				a.pace.spend(a.size)
			}
			a.reset()
		}
		if a.parts == 0 {
			f.messageEnd()
		}
	}
}

// assembly is a message while it comes in.
type assembly struct {
	slab    slab     // frames up to the fourth JSON frame, until they are verified
	frames  [][]byte // verified frames, then buffers
	parts   int
	size    int64
	delim   int  // index of the delimiter, -1 before it
	dropped bool // skip the rest
	pace    pacer
}

func (a *assembly) reset() {
	a.slab.reset()
	*a = assembly{slab: a.slab, pace: a.pace, delim: -1}
}

// frame reads one frame into the assembly and checks the signature as soon as
// the fourth JSON frame is in.
func (rc *receiver) frame(f *frameReader, h frameHeader, p *peer, a *assembly) error {
	verified := a.frames != nil
	limit := rc.maxJSON
	if verified || a.dropped {
		limit = rc.maxBuffer
	}
	if a.parts++; a.parts > maxParts {
		return fmt.Errorf("%w: more than %d frames in a message", ErrLimit, maxParts)
	}
	if h.size > limit {
		return fmt.Errorf("%w: frame of %d bytes, at most %d", ErrLimit, h.size, limit)
	}
	if a.size += h.size; a.size > maxMessage {
		return fmt.Errorf("%w: message of more than %d bytes", ErrLimit, maxMessage)
	}
	switch {
	case a.dropped:
		return f.skip(h.size)
	case verified:
		b, err := f.body(h.size)
		a.frames = append(a.frames, b)
		return err
	}
	if err := a.slab.read(f, h.size, func(n int) error { return rc.budget.take(p, n) }); err != nil {
		return err
	}
	last := len(a.slab.ends) - 1
	if a.delim < 0 {
		if b, ok := a.slab.frame(last, len(delimiter)); ok && bytes.Equal(b, delimiter) {
			a.delim = last
		}
		return nil
	}
	if last < a.delim+1+jsonFrames {
		return nil
	}
	err := rc.codec.check(&a.slab, a.delim)
	if err != nil {
		rc.drop(p, a, err)
		return nil
	}
	p.verified.Store(true)
	a.frames = a.slab.frames()
	a.slab.reset()
	rc.budget.release(p)
	return nil
}

// finish ends a message: it is handed over, or dropped.
func (rc *receiver) finish(p *peer, a *assembly, deliver func(*Message) error) error {
	switch {
	case a.dropped:
		return nil
	case a.frames != nil:
		m, err := decode(a.frames, a.delim)
		if err != nil {
			rc.drop(p, a, err)
			return nil
		}
		return deliver(m)
	case a.delim < 0:
		rc.drop(p, a, ErrNoDelimiter)
	default:
		rc.drop(p, a, ErrTooShort)
	}
	return nil
}

// drop forgets a message; what is still to come of it is skipped.
func (rc *receiver) drop(p *peer, a *assembly, why error) {
	a.dropped = true
	a.frames = nil
	a.slab.reset()
	rc.budget.release(p)
	rc.drops.add(why)
}

// answerCommand reads a ZMTP command and answers PING. subscribe, when there
// is one, gets the commands of ZMTP 3.1's SUB sockets; others are ignored.
func answerCommand(f *frameReader, h frameHeader, p *peer, subscribe func(topic []byte, on bool) error) error {
	if h.size > maxCommand {
		return fmt.Errorf("%w: command of %d bytes, at most %d", ErrLimit, h.size, maxCommand)
	}
	b, err := f.body(h.size)
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
