package messaging

import (
	"bytes"
	"errors"
	"testing"
)

// TestBudgetEvictsTheLargestStranger: strangers together get less than all may
// hold, the largest one pays for a newcomer, and one that has signed pays last.
func TestBudgetEvictsTheLargestStranger(t *testing.T) {
	const mib = 1 << 20
	peerOf := func(verified bool) *peer {
		p := newPeer(&memConn{in: bytes.NewReader(nil)}, maxQueue)
		p.verified.Store(verified)
		return p
	}
	b := newBudget()
	known, big, small := peerOf(true), peerOf(false), peerOf(false)
	for _, step := range []struct {
		p   *peer
		mib int
		ok  bool
	}{{known, 16, true}, {known, 1, false}, {big, 10, true}, {small, 5, true}, {small, 2, true}} {
		if err := b.take(step.p, step.mib*mib); (err == nil) != step.ok || err != nil && !errors.Is(err, ErrLimit) {
			t.Fatalf("%d MiB: %v", step.mib, err)
		}
	}
	if big.err() == nil || small.err() != nil || known.err() != nil {
		t.Errorf("closed: big %v, small %v, known %v", big.err(), small.err(), known.err())
	}
	if err := b.take(big, 1); err == nil {
		t.Error("a closed connection got more")
	}
	others := []*peer{peerOf(true), peerOf(true)}
	for _, p := range others { // with known's 16: 48 MiB, so small has to go
		if err := b.take(p, 16*mib); err != nil {
			t.Fatal(err)
		}
	}
	if small.err() == nil || known.err() != nil {
		t.Errorf("closed: small %v, known %v", small.err(), known.err())
	}
	for _, p := range append(others, known, small, big) {
		b.release(p)
	}
	if b.total != 0 || b.strangers != 0 || len(b.held) != 0 {
		t.Errorf("%d and %d bytes are left", b.total, b.strangers)
	}
}

// TestQueueTakesWholeMessages: an empty queue takes any message, a full one
// closes the connection.
func TestQueueTakesWholeMessages(t *testing.T) {
	of := func(size int64) *packet { return &packet{size: size} }
	p := newPeer(&memConn{in: bytes.NewReader(nil)}, 100)
	for _, size := range []int64{500, 60, 40} { // one above the limit besides the others
		if err := p.send(of(size)); err != nil {
			t.Fatalf("%d: %v", size, err)
		}
	}
	if err := p.send(of(1)); !errors.Is(err, ErrQueueFull) || !errors.Is(p.err(), ErrQueueFull) {
		t.Errorf("got %v, closed for %v", err, p.err())
	}
	q := newPeer(&memConn{in: bytes.NewReader(nil)}, 100)
	if err := q.send(of(500)); err != nil {
		t.Fatal(err)
	}
	if err := q.send(of(101)); !errors.Is(err, ErrQueueFull) {
		t.Errorf("a second one above the limit: %v", err)
	}
	r := newPeer(&memConn{in: bytes.NewReader(nil)}, 1<<20)
	for i := range maxSmallReplies + 1 {
		if err := r.send(commandPacket("PONG", nil)); (err == nil) != (i < maxSmallReplies) {
			t.Fatalf("PONG %d: %v", i, err)
		}
	}
}
