package rpc

import (
	"fmt"
	"slices"
)

// notified acts on a notification; unknown ones are ignored, as in LSP.
func (p *Peer[S]) notified(in Incoming, m *Message) {
	switch m.Method {
	case MethodCancel:
		var c CancelParams
		if decodeStrict(m.Params, &c) == nil {
			p.cancelRequest(c.ID)
		}
	case MethodAck, MethodResume:
		var ids IDsParams
		if decodeStrict(m.Params, &ids) != nil || len(ids.IDs) > maxIDs {
			return
		}
		if m.Method == MethodAck {
			p.ack(ids.IDs)
			return
		}
		p.resume(in.Parent, ids.IDs)
	}
}

func (p *Peer[S]) cancelRequest(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stop, ok := p.running[id]; ok {
		stop()
		return
	}
	if _, done := p.held[id]; done || slices.Contains(p.cancels, id) {
		return
	}
	if len(p.cancels) == maxCancels {
		p.cancels = slices.Delete(p.cancels, 0, 1)
	}
	p.cancels = append(p.cancels, id)
}

func (p *Peer[S]) ack(ids []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.dropHeld(id)
		if i := slices.Index(p.cancels, id); i >= 0 { // it came after the final
			p.cancels = slices.Delete(p.cancels, i, i+1)
		}
	}
}

// dropHeld forgets a final; p.mu is held.
func (p *Peer[S]) dropHeld(id int64) {
	if f, ok := p.held[id]; ok {
		p.heldBytes -= f.bytes()
		delete(p.held, id)
	}
	if len(p.held) == 0 {
		p.heldOrder = p.heldOrder[:0]
	}
}

// resume sends the finals that are held and says which ids are unknown;
// requests that still run go on.
func (p *Peer[S]) resume(parent any, ids []int64) {
	for _, id := range ids {
		p.mu.Lock()
		f, done := p.held[id]
		_, runs := p.running[id]
		p.mu.Unlock()
		switch {
		case done:
			p.send(parent, f.msg, f.buffers)
		case !runs:
			p.send(parent, &Message{JSONRPC: "2.0", ID: &id, Error: &Error{CodeFailed,
				fmt.Sprintf("rpc: request %d is not known here: it was lost with the connection, or its answer is no longer kept", id),
				ErrorData{Kind: KindKernelGone, Hint: "send it again"}}}, nil)
		}
	}
}
