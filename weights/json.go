package weights

import (
	"fmt"
	"slices"
	"strconv"
)

// scanner reads JSON (RFC 8259) from untrusted files. It is stricter than
// encoding/json: keys match by their exact bytes, a duplicate key is an error,
// and so are invalid UTF-8, lone surrogates, trailing data, and nesting beyond
// maxJSONDepth. It allocates nothing for what it skips.
type scanner struct {
	data  []byte
	pos   int
	depth int
	nodes int // values that value has built
	kind  ErrorKind
	base  int64 // offset of data in its file, for messages
}

func (s *scanner) fail(pos int, format string, args ...any) error {
	return &Error{Kind: s.kind, Where: "byte " + strconv.FormatInt(s.base+int64(pos), 10), Msg: fmt.Sprintf(format, args...)}
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not space, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if got := s.peek(); got != c || s.pos >= len(s.data) {
		return s.unexpected(string(c))
	}
	s.pos++
	return nil
}

func (s *scanner) unexpected(want string) error {
	if s.pos >= len(s.data) {
		return s.fail(s.pos, "the JSON ends, expected %s", want)
	}
	return s.fail(s.pos, "JSON has %q, expected %s", s.data[s.pos], want)
}

// end checks that nothing but space is left.
func (s *scanner) end() error {
	if s.space(); s.pos < len(s.data) {
		return s.fail(s.pos, "JSON goes on with %q after its end", s.data[s.pos])
	}
	return nil
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxJSONDepth {
		return s.fail(s.pos, "JSON is nested deeper than %d", maxJSONDepth)
	}
	return nil
}

// keySet finds duplicates: a short list first, a map when it grows.
type keySet struct {
	list [8]string
	n    int
	set  map[string]struct{}
}

// add reports whether key is new.
func (k *keySet) add(key string) bool {
	if k.set != nil {
		if _, ok := k.set[key]; ok {
			return false
		}
		k.set[key] = struct{}{}
		return true
	}
	if slices.Contains(k.list[:k.n], key) {
		return false
	}
	if k.n < len(k.list) {
		k.list[k.n] = key
		k.n++
		return true
	}
	k.set = make(map[string]struct{}, 2*k.n)
	for _, have := range k.list {
		k.set[have] = struct{}{}
	}
	k.set[key] = struct{}{}
	return true
}

// object reads an object of at most limit keys, no longer than maxKey bytes.
// field must consume the value.
func (s *scanner) object(limit, maxKey int, field func(key string) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	if err := s.expect('{'); err != nil {
		return err
	}
	var keys keySet
	if s.peek() == '}' {
		s.pos++
		s.depth--
		return nil
	}
	for n := 0; ; n++ {
		at := s.pos
		if n >= limit {
			return s.fail(at, "JSON object has more than %d keys", limit)
		}
		if s.peek() != '"' {
			return s.unexpected("a key in quotes")
		}
		key, err := s.str(maxKey)
		if err != nil {
			return err
		}
		if !keys.add(key) {
			return s.fail(at, "duplicate key %q", clip(key))
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case '}':
			s.pos++
			s.depth--
			return nil
		default:
			return s.unexpected("',' or '}'")
		}
	}
}

// array reads an array; elem must consume element i.
func (s *scanner) array(elem func(i int) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	if err := s.expect('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		s.depth--
		return nil
	}
	for i := 0; ; i++ {
		if err := elem(i); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			s.depth--
			return nil
		default:
			return s.unexpected("',' or ']'")
		}
	}
}

func (s *scanner) word(w string) error {
	if s.space(); len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.unexpected("a value")
	}
	s.pos += len(w)
	return nil
}

// clip shortens untrusted text for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
