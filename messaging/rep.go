package messaging

import "fmt"

// echo serves the heartbeat: it sends every message back as it came, to REQ and
// DEALER peers. Reading waits while the answers are not read.
func echo(p *peer) error {
	f := newFrameReader(p.conn)
	var frames [][]byte
	var size int64
	var pace pacer
	for {
		h, err := f.header()
		if err != nil {
			return err
		}
		if h.command {
			if err := answerCommand(f, h, p, nil); err != nil {
				return err
			}
		} else {
			if size += h.size; h.size > maxHeartbeat || size > maxHeartbeat || len(frames) == maxParts {
				return fmt.Errorf("%w: heartbeat of %d bytes and %d frames, at most %d and %d", ErrLimit, size, len(frames)+1, maxHeartbeat, maxParts)
			}
			b, err := f.body(h.size)
			if err != nil {
				return err
			}
			frames = append(frames, b)
			if !h.more {
				m := newPacket(frames)
				if err := p.waitSpace(m.size); err != nil {
					return err
				}
				if err := p.send(m); err != nil {
					return err
				}
				frames, size = nil, 0
			}
		}
		if len(frames) == 0 {
			pace.spend(h.size)
			f.messageEnd()
		}
	}
}
