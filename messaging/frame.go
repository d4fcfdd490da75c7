package messaging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Why a connection is closed because of what came in on it.
var (
	ErrFrame = errors.New("messaging: malformed frame")
	ErrLimit = errors.New("messaging: limit exceeded")
	ErrStall = errors.New("messaging: peer stalled")
)

// frameHeader is the header of a ZMTP frame, checked.
type frameHeader struct {
	size    int64
	more    bool
	command bool
}

// frameReader reads ZMTP frames from a connection. A peer may be silent between
// messages as long as it likes; inside one, minRecv bytes or the rest of the
// message must come in per stallTime.
type frameReader struct {
	conn net.Conn
	buf  []byte // read ahead: buf[r:w]
	r, w int

	inside      bool      // a message has begun
	windowEnd   time.Time // zero: no window is open
	windowBytes int
	deadline    bool // a read deadline is set on conn
}

func newFrameReader(conn net.Conn) *frameReader {
	return &frameReader{conn: conn, buf: make([]byte, 8<<10)}
}

// messageEnd tells the reader that the last frame of a message has been read.
func (f *frameReader) messageEnd() {
	f.inside = false
	f.windowEnd = time.Time{}
}

// header reads the next frame's header. Reserved flag bits, a command with
// MORE and sizes of 2^63 and above are refused.
func (f *frameReader) header() (frameHeader, error) {
	if err := f.need(2); err != nil {
		return frameHeader{}, err
	}
	flags := f.buf[f.r]
	if flags&^(flagMore|flagLong|flagCommand) != 0 || flags&(flagMore|flagCommand) == flagMore|flagCommand {
		return frameHeader{}, fmt.Errorf("%w: flags %#x", ErrFrame, flags)
	}
	h := frameHeader{more: flags&flagMore != 0, command: flags&flagCommand != 0}
	if flags&flagLong == 0 {
		h.size = int64(f.buf[f.r+1])
		f.r += 2
		return h, nil
	}
	if err := f.need(9); err != nil {
		return frameHeader{}, err
	}
	h.size = int64(binary.BigEndian.Uint64(f.buf[f.r+1:]))
	if h.size < 0 {
		return frameHeader{}, fmt.Errorf("%w: frame of 2^63 bytes or more", ErrFrame)
	}
	f.r += 9
	return h, nil
}

// need waits until n bytes are buffered.
func (f *frameReader) need(n int) error {
	for f.w-f.r < n {
		if f.r > 0 {
			f.w = copy(f.buf, f.buf[f.r:f.w])
			f.r = 0
		}
		f.inside = f.inside || f.w > 0
		k, err := f.read(f.buf[f.w:])
		f.w += k
		if err != nil {
			return err
		}
	}
	f.inside = true
	return nil
}

// read reads from the connection under the rule of progress.
func (f *frameReader) read(p []byte) (int, error) {
	if f.inside && f.windowEnd.IsZero() {
		f.windowEnd = time.Now().Add(stallTime)
		f.windowBytes = 0
		f.deadline = true
		if err := f.conn.SetReadDeadline(f.windowEnd); err != nil {
			return 0, err
		}
	} else if !f.inside && f.deadline {
		f.deadline = false
		if err := f.conn.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
	n, err := f.conn.Read(p)
	f.windowBytes += n
	if f.inside && f.windowBytes >= minRecv {
		f.windowEnd = time.Time{}
	}
	if n > 0 {
		return n, nil // an error comes again
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, fmt.Errorf("%w: %d bytes within %v inside a message, expected %d", ErrStall, f.windowBytes, stallTime, minRecv)
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

// parts are reused for the parts of large frames while they come in.
var parts = sync.Pool{New: func() any { return new([maxAhead]byte) }}

// body reads a frame of size bytes. Memory grows with what has come in, by at
// most maxAhead: a larger frame is gathered in reused parts and copied once.
func (f *frameReader) body(size int64) ([]byte, error) {
	if size <= maxAhead {
		b := make([]byte, size)
		return b, f.full(b)
	}
	var got []*[maxAhead]byte
	defer func() {
		for _, p := range got {
			parts.Put(p)
		}
	}()
	for rest := size; rest > 0; {
		p := parts.Get().(*[maxAhead]byte)
		got = append(got, p)
		n := min(rest, maxAhead)
		if err := f.full(p[:n]); err != nil {
			return nil, err
		}
		rest -= n
	}
	b := make([]byte, size)
	for i, p := range got {
		copy(b[i*maxAhead:], p[:])
	}
	return b, nil
}

// full reads len(p) bytes.
func (f *frameReader) full(p []byte) error {
	n := copy(p, f.buf[f.r:f.w])
	f.r += n
	for n < len(p) {
		k, err := f.read(p[n:])
		if err != nil {
			return err
		}
		n += k
	}
	return nil
}

// skip reads size bytes and forgets them.
func (f *frameReader) skip(size int64) error {
	n := min(size, int64(f.w-f.r))
	f.r += int(n)
	for size -= n; size > 0; size -= n {
		f.r, f.w = 0, 0
		k, err := f.read(f.buf[:min(size, int64(len(f.buf)))])
		if err != nil {
			return err
		}
		n = int64(k)
	}
	return nil
}

// pacer makes a peer whose messages are for nothing yield: a connection that
// always has input would otherwise hold a processor for whole time slices while
// an honest peer's bytes wait.
type pacer struct {
	messages int
	bytes    int64
}

// spend counts one message and sleeps now and then.
func (p *pacer) spend(bytes int64) {
	p.messages++
	p.bytes += bytes
	if p.messages >= paceMessages || p.bytes >= paceBytes {
		*p = pacer{}
		time.Sleep(pacePause)
	}
}
