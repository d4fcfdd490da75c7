package messaging

import (
	"fmt"
	"sync"
)

// budget bounds what connections hold ahead of a verified signature: each one,
// all together, and those that have never signed anything.
type budget struct {
	mu        sync.Mutex
	held      map[*peer]*holding
	total     int
	strangers int // part of total
}

type holding struct {
	bytes    int
	stranger bool // had signed nothing when it took the first byte
}

func newBudget() *budget { return &budget{held: map[*peer]*holding{}} }

// take gives p n more bytes. When the connections together would hold too much,
// the one that holds the most is closed, strangers first.
func (b *budget) take(p *peer, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := p.err(); err != nil {
		return err
	}
	h := b.held[p]
	if h == nil {
		h = &holding{stranger: !p.verified.Load()}
		b.held[p] = h
	}
	if h.bytes+n > maxUnverified {
		return fmt.Errorf("%w: more than %d bytes ahead of a signature", ErrLimit, maxUnverified)
	}
	for h.stranger && b.strangers+n > maxUnverifiedStrangers || b.total+n > maxUnverifiedTotal {
		victim := b.largest()
		err := fmt.Errorf("%w: connections hold more than %d bytes ahead of a signature", ErrLimit, b.total)
		if victim == p {
			return err
		}
		victim.close(err)
		b.drop(victim)
	}
	h.bytes += n
	b.add(h, n)
	return nil
}

// largest is the stranger that holds the most, or the other that does when no
// stranger holds anything.
func (b *budget) largest() (worst *peer) {
	var most *holding
	for p, h := range b.held {
		if worst == nil || h.stranger && !most.stranger || h.stranger == most.stranger && h.bytes > most.bytes {
			worst, most = p, h
		}
	}
	return worst
}

func (b *budget) add(h *holding, n int) {
	b.total += n
	if h.stranger {
		b.strangers += n
	}
}

// release takes back all that p holds.
func (b *budget) release(p *peer) {
	b.mu.Lock()
	b.drop(p)
	b.mu.Unlock()
}

func (b *budget) drop(p *peer) {
	if h := b.held[p]; h != nil {
		b.add(h, -h.bytes)
		delete(b.held, p)
	}
}
