package messaging

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
)

// slab holds the frames of a message that is not yet verified, one behind the
// other in reused chunks. Junk leaves no garbage, however much of it comes, and
// the signature is computed over the bytes where they lie.
type slab struct {
	chunks []*chunk
	ends   []int // ends[i] is the offset behind frame i
	size   int
}

// chunk is a piece of a slab: the first one small, for ordinary messages.
type chunk struct {
	buf  []byte
	used int
	pool *sync.Pool
}

const (
	smallChunk = 8 << 10
	largeChunk = 64 << 10
)

var smallChunks, largeChunks sync.Pool

func init() {
	smallChunks.New = func() any { return &chunk{buf: make([]byte, smallChunk), pool: &smallChunks} }
	largeChunks.New = func() any { return &chunk{buf: make([]byte, largeChunk), pool: &largeChunks} }
}

// read appends a frame of size bytes from f; grow is asked before each chunk.
func (s *slab) read(f *frameReader, size int64, grow func(n int) error) error {
	for rest := int(size); rest > 0; {
		space := s.space()
		if len(space) == 0 {
			pool, n := &largeChunks, largeChunk
			if len(s.chunks) == 0 {
				pool, n = &smallChunks, smallChunk
			}
			if err := grow(n); err != nil {
				return err
			}
			s.chunks = append(s.chunks, pool.Get().(*chunk))
			space = s.space()
		}
		n := min(rest, len(space))
		if err := f.full(space[:n]); err != nil {
			return err
		}
		s.chunks[len(s.chunks)-1].used += n
		s.size += n
		rest -= n
	}
	s.ends = append(s.ends, s.size)
	return nil
}

// space is what is free in the last chunk.
func (s *slab) space() []byte {
	if len(s.chunks) == 0 {
		return nil
	}
	c := s.chunks[len(s.chunks)-1]
	return c.buf[c.used:]
}

// span is the offsets of frame i.
func (s *slab) span(i int) (from, to int) {
	if i > 0 {
		from = s.ends[i-1]
	}
	return from, s.ends[i]
}

// each calls f with the pieces of [from, to).
func (s *slab) each(from, to int, f func([]byte)) {
	at := 0
	for _, c := range s.chunks {
		if lo, hi := max(from, at), min(to, at+c.used); lo < hi {
			f(c.buf[lo-at : hi-at])
		}
		at += c.used
	}
}

// frame copies frame i if it has at most limit bytes.
func (s *slab) frame(i, limit int) ([]byte, bool) {
	from, to := s.span(i)
	if to-from > limit {
		return nil, false
	}
	b := make([]byte, 0, to-from)
	s.each(from, to, func(p []byte) { b = append(b, p...) })
	return b, true
}

// sum is the HMAC of frames i to j-1.
func (s *slab) sum(key []byte, i, j int) []byte {
	h := hmac.New(sha256.New, key)
	from, _ := s.span(i)
	s.each(from, s.ends[j-1], func(p []byte) { h.Write(p) })
	return h.Sum(nil)
}

// frames copies all frames, into one allocation.
func (s *slab) frames() [][]byte {
	all := make([]byte, 0, s.size)
	s.each(0, s.size, func(p []byte) { all = append(all, p...) })
	fs := make([][]byte, len(s.ends))
	for i := range s.ends {
		from, to := s.span(i)
		fs[i] = all[from:to:to]
	}
	return fs
}

// reset gives the chunks back.
func (s *slab) reset() {
	for _, c := range s.chunks {
		c.used = 0
		c.pool.Put(c)
	}
	clear(s.chunks)
	s.chunks, s.ends, s.size = s.chunks[:0], s.ends[:0], 0
}
