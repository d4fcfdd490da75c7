package messaging

import (
	"sync"
)

// publish sends a message to all subscribers of its topic, behind everything
// published before.
func (s *Server) publish(topic, msgType string, parent *Message, content, metadata any, buffers ...[]byte) error {
	m, err := s.message(msgType, parent, content, metadata, buffers...)
	if err != nil {
		return err
	}
	m.Identities = [][]byte{[]byte(topic)}
	p, err := s.codec.encode(m)
	if err != nil {
		return err
	}
	s.iopub.publish(topic, p)
	return nil
}

// broadcast publishes a message that belongs to no comm.
func (s *Server) broadcast(msgType string, parent *Message, content, metadata any) {
	if err := s.publish("kernel."+s.session+"."+msgType, msgType, parent, content, metadata); err != nil {
		s.log.Error("messaging: not published", "type", msgType, "error", err)
	}
}

func (s *Server) publishStatus(state string, parent *Message) {
	s.broadcast("status", parent, map[string]string{"execution_state": state}, nil)
}

// welcome is the iopub_welcome of a subscription.
func (s *Server) welcome(topic string) *packet {
	m, err := s.message("iopub_welcome", nil, map[string]string{"subscription": topic}, nil)
	if err == nil {
		m.Identities = [][]byte{[]byte(topic)}
		var p *packet
		if p, err = s.codec.encode(m); err == nil {
			p.small = true
			return p
		}
	}
	panic(err) // two strings always encode
}

// Output publishes what a running cell produces. Every message has the cell's
// request as parent and is queued for all subscribers, in order, before the
// reply. Its methods do not wait for a subscriber and may be called from any
// goroutine until Execute returns; later calls are dropped. A silent execution
// publishes nothing. Data that JSON cannot hold is logged and dropped.
type Output struct {
	s      *Server
	parent *Message
	count  int
	silent bool

	mu   sync.Mutex
	over bool
}

func (o *Output) publish(msgType string, content any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over && !o.silent {
		o.s.broadcast(msgType, o.parent, content, nil)
	}
}

// end drops all later calls.
func (o *Output) end() {
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
}

// Stream writes text to "stdout" or "stderr".
func (o *Output) Stream(name, text string) {
	if text != "" {
		o.publish("stream", map[string]string{"name": name, "text": text})
	}
}

// Display shows a MIME bundle. displayID, when not empty, is what UpdateDisplay
// refers to.
func (o *Output) Display(data, metadata map[string]any, displayID string) {
	o.publish("display_data", display(data, metadata, displayID))
}

// UpdateDisplay replaces what Display showed under displayID.
func (o *Output) UpdateDisplay(data, metadata map[string]any, displayID string) {
	o.publish("update_display_data", display(data, metadata, displayID))
}

// Result is the cell's value.
func (o *Output) Result(data, metadata map[string]any) {
	c := display(data, metadata, "")
	c["execution_count"] = o.count
	o.publish("execute_result", c)
}

// Clear empties the cell's output; with wait, only when the next output comes.
func (o *Output) Clear(wait bool) {
	o.publish("clear_output", map[string]bool{"wait": wait})
}

func display(data, metadata map[string]any, displayID string) map[string]any {
	transient := map[string]string{}
	if displayID != "" {
		transient["display_id"] = displayID
	}
	return map[string]any{"data": orObject(data), "metadata": orObject(metadata), "transient": transient}
}

// orObject makes nil an empty object, which is what the protocol wants.
func orObject(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
