package tokenizer

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner is a strict JSON reader (RFC 8259) for untrusted files: no duplicate
// keys (by the callers of object), keys that match exactly, valid UTF-8, no lone
// surrogates, bounded depth. The first error sticks.
type scanner struct {
	data  string
	pos   int
	depth int
	err   error
}

const maxDepth = 64

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		e := errorf(format, args...)
		e.Msg = "JSON byte " + strconv.Itoa(s.pos) + ": " + e.Msg
		s.err = e
	}
}

// peek returns the next byte that is not white space, 0 at the end or after an error.
func (s *scanner) peek() byte {
	if s.err != nil {
		return 0
	}
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) bool {
	if got := s.peek(); got != c {
		if got == 0 {
			s.fail("the text ends, expected %q", c)
		} else {
			s.fail("found %q, expected %q", got, c)
		}
		return false
	}
	s.pos++
	return true
}

// object calls f with each key; f reads the value.
func (s *scanner) object(f func(key string)) {
	s.list('{', '}', func() {
		key := s.string()
		if s.expect(':') {
			f(key)
		}
	})
}

// array calls f at each element; f reads it.
func (s *scanner) array(f func()) { s.list('[', ']', f) }

func (s *scanner) list(open, closing byte, f func()) {
	if !s.expect(open) {
		return
	}
	if s.depth++; s.depth > maxDepth {
		s.fail("nested deeper than %d", maxDepth)
	}
	if s.peek() == closing {
		s.pos++
		s.depth--
		return
	}
	for s.err == nil {
		f()
		if s.peek() == ',' {
			s.pos++
			continue
		}
		s.expect(closing)
		s.depth--
		return
	}
}

// string reads a string.
func (s *scanner) string() string {
	if !s.expect('"') {
		return ""
	}
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			text := s.data[start:s.pos]
			if !utf8.ValidString(text) {
				s.fail("a string is not UTF-8")
			}
			s.pos++
			return text
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			s.fail("a string holds control character %#02x", c)
			return ""
		}
		s.pos++
	}
	s.fail("a string does not end")
	return ""
}

// escaped goes on with a string at its first backslash.
func (s *scanner) escaped(start int) string {
	var b strings.Builder
	b.WriteString(s.data[start:s.pos])
	for s.err == nil && s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.ValidString(b.String()) {
				s.fail("a string is not UTF-8")
			}
			return b.String()
		case c == '\\':
			b.WriteRune(s.escape())
		case c < ' ':
			s.fail("a string holds control character %#02x", c)
		default:
			b.WriteByte(c)
		}
	}
	s.fail("a string does not end")
	return ""
}

func (s *scanner) escape() rune {
	if s.pos >= len(s.data) {
		return 0
	}
	c := s.data[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		r := s.hex4()
		if !utf16.IsSurrogate(r) {
			return r
		}
		if strings.HasPrefix(s.data[s.pos:], `\u`) {
			s.pos += 2
			if r = utf16.DecodeRune(r, s.hex4()); r != utf8.RuneError {
				return r
			}
		}
		s.fail("a lone surrogate")
		return 0
	}
	s.fail("escape \\%c", c)
	return 0
}

func (s *scanner) hex4() rune {
	if len(s.data)-s.pos < 4 {
		s.fail("the text ends within an escape")
		return 0
	}
	v, err := strconv.ParseUint(s.data[s.pos:s.pos+4], 16, 16)
	if err != nil {
		s.fail("escape \\u%q", s.data[s.pos:s.pos+4])
	}
	s.pos += 4
	return rune(v)
}

// int reads an integer of at most 9 digits.
func (s *scanner) int() int {
	n := s.number()
	v, err := strconv.Atoi(n)
	if s.err == nil && (err != nil || len(n) > 9) {
		s.fail("found %s, expected an integer of at most 9 digits", clip(n))
	}
	return v
}

// number reads a number and returns its text.
func (s *scanner) number() string {
	s.peek()
	start := s.pos
	digits := func() bool {
		from := s.pos
		for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
			s.pos++
		}
		return s.pos > from
	}
	at := func(set string) bool { return s.pos < len(s.data) && strings.IndexByte(set, s.data[s.pos]) >= 0 }
	if at("-") {
		s.pos++
	}
	first := s.pos
	ok := digits() && (s.data[first] != '0' || s.pos == first+1)
	if ok && at(".") {
		s.pos++
		ok = digits()
	}
	if ok && at("eE") {
		if s.pos++; at("+-") {
			s.pos++
		}
		ok = digits()
	}
	if !ok {
		s.pos = start
		s.fail("expected a number")
		return ""
	}
	return s.data[start:s.pos]
}

// word reads a literal such as true.
func (s *scanner) word(w string) bool {
	s.peek()
	if s.err != nil || !strings.HasPrefix(s.data[s.pos:], w) {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *scanner) bool() bool {
	if s.word("true") {
		return true
	}
	if !s.word("false") {
		s.fail("expected true or false")
	}
	return false
}

// null reports whether the next value is null, and reads it then.
func (s *scanner) null() bool { return s.word("null") }

// end refuses anything after the value.
func (s *scanner) end() {
	if c := s.peek(); c != 0 {
		s.fail("found %q after the end", c)
	}
	if s.err == nil && s.pos < len(s.data) {
		s.fail("found a NUL byte after the end")
	}
}
