package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// subscriber remembers who waits for the welcome of which topic.
type subscriber struct {
	mu      sync.Mutex
	waiting map[string][]chan struct{}
}

// wait registers for the next welcome of the topic.
func (s *subscriber) wait(topic string) chan struct{} {
	ch := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[string][]chan struct{}{}
	}
	s.waiting[topic] = append(s.waiting[topic], ch)
	return ch
}

// welcomed tells the one that has waited longest; false: nobody waits.
func (s *subscriber) welcomed(m *Message) bool {
	var c struct {
		Subscription string `json:"subscription"`
	}
	if json.Unmarshal(m.Content, &c) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waiting[c.Subscription]
	if len(w) == 0 {
		return false
	}
	close(w[0])
	if w = w[1:]; len(w) == 0 {
		delete(s.waiting, c.Subscription)
	} else {
		s.waiting[c.Subscription] = w
	}
	return true
}

// Subscribe subscribes to a topic of iopub ("" is everything, comm-<id> one
// comm) and waits for the kernel's iopub_welcome, so that nothing published
// afterwards is missed.
func (c *Client) Subscribe(ctx context.Context, topic string) error {
	welcome := c.subs.wait(topic)
	if err := c.peers[IOPub].send(newPacket([][]byte{append([]byte{1}, topic...)})); err != nil {
		return err
	}
	select {
	case <-welcome:
		return nil
	case <-c.done:
		return fmt.Errorf("messaging: subscription to %q: %w", topic, c.lost())
	case <-ctx.Done():
		return fmt.Errorf("messaging: no iopub_welcome for %q: %w", topic, ctx.Err())
	}
}

// Unsubscribe ends a subscription.
func (c *Client) Unsubscribe(topic string) error {
	return c.peers[IOPub].send(newPacket([][]byte{append([]byte{0}, topic...)}))
}

// lost is why the client ended.
func (c *Client) lost() error {
	if err := c.Err(); err != nil {
		return err
	}
	return errClosed
}
