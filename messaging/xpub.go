package messaging

import (
	"bytes"
	"fmt"
	"sync"
	"unicode/utf8"
)

// xpub is an XPUB socket: it sends each published message to the peers that
// have subscribed to a prefix of its topic, in one order for all of them.
type xpub struct {
	socket
	welcome func(topic string) *packet // what a new subscription gets

	mu          sync.Mutex
	subscribers map[*peer]struct{}
}

// subscriptions is the topics of one peer.
type subscriptions struct {
	topics  map[string]struct{}
	lengths map[int]int // how many topics have this length
}

// set adds or removes a topic. Removing one that is not there does nothing.
func (s *subscriptions) set(topic string, on bool) error {
	if s.topics == nil {
		s.topics, s.lengths = map[string]struct{}{}, map[int]int{}
	}
	_, had := s.topics[topic]
	switch {
	case on && !had:
		if len(s.topics) >= maxSubscriptions {
			return fmt.Errorf("%w: more than %d subscriptions", ErrLimit, maxSubscriptions)
		}
		s.topics[topic] = struct{}{}
		s.lengths[len(topic)]++
	case !on && had:
		delete(s.topics, topic)
		if s.lengths[len(topic)]--; s.lengths[len(topic)] == 0 {
			delete(s.lengths, len(topic))
		}
	}
	return nil
}

// match reports whether some subscription is a prefix of the topic.
func (s *subscriptions) match(topic string) bool {
	for n := range s.lengths {
		if n <= len(topic) {
			if _, ok := s.topics[topic[:n]]; ok {
				return true
			}
		}
	}
	return false
}

// publish queues a message for every subscriber of its topic. It does not wait:
// a subscriber whose queue is full is cut off.
func (x *xpub) publish(topic string, m *packet) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range x.subscribers {
		if p.subs.match(topic) {
			_ = p.send(m) // an error means that the peer is gone
		}
	}
}

func (x *xpub) opened(p *peer) {
	x.mu.Lock()
	x.subscribers[p] = struct{}{}
	x.mu.Unlock()
}

func (x *xpub) left(p *peer) {
	x.mu.Lock()
	delete(x.subscribers, p)
	x.mu.Unlock()
}

// receive reads a peer's subscriptions: messages of ZMTP 3.0 (a byte 1 or 0,
// then the topic) or commands of 3.1. Anything else ends the connection.
func (x *xpub) receive(p *peer) error {
	f := newFrameReader(p.conn)
	var pace pacer
	for {
		h, err := f.header()
		switch {
		case err != nil:
			return err
		case h.size > maxSubscription:
			return fmt.Errorf("%w: subscription of %d bytes, at most %d", ErrLimit, h.size, maxSubscription)
		case h.more:
			return fmt.Errorf("%w: multipart message on iopub", ErrFrame)
		case h.command:
			err = answerCommand(f, h, p, func(topic []byte, on bool) error { return x.subscribe(p, topic, on) })
		default:
			var b []byte
			if b, err = f.body(h.size); err == nil {
				if len(b) == 0 || b[0] > 1 {
					err = fmt.Errorf("%w: neither subscription nor cancellation on iopub", ErrFrame)
				} else {
					err = x.subscribe(p, b[1:], b[0] == 1)
				}
			}
		}
		if err != nil {
			return err
		}
		f.messageEnd()
		pace.spend(h.size)
	}
}

// subscribe changes a subscription. Each one, a repeated one too, is welcomed
// to this peer alone, ahead of anything that it lets through.
func (x *xpub) subscribe(p *peer, topic []byte, on bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if on && utf8.Valid(topic) && !bytes.ContainsRune(topic, 0) {
		if err := p.send(x.welcome(string(topic))); err != nil {
			return err
		}
	}
	return p.subs.set(string(topic), on)
}
