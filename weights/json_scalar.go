package weights

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// str reads a string of at most limit bytes and decodes its escapes.
func (s *scanner) str(limit int) (string, error) {
	raw, escaped, err := s.rawString()
	if err != nil {
		return "", err
	}
	start := s.pos - len(raw) - 1
	if !escaped {
		if len(raw) > limit {
			return "", s.fail(start, "string of %d bytes, at most %d are allowed", len(raw), limit)
		}
		return string(raw), nil
	}
	out := make([]byte, 0, min(len(raw), limit))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
		} else {
			r, n := unescape(raw[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
		if len(out) > limit {
			return "", s.fail(start, "string longer than %d bytes", limit)
		}
	}
	return string(out), nil
}

// rawString reads a string and checks it completely; raw is what stands between
// the quotes.
func (s *scanner) rawString() (raw []byte, escaped bool, err error) {
	if err := s.expect('"'); err != nil {
		return nil, false, err
	}
	start, ascii := s.pos, true
	for i := start; i < len(s.data); {
		switch c := s.data[i]; {
		case c == '"':
			raw = s.data[start:i]
			s.pos = i + 1
			if !ascii && !utf8.Valid(raw) {
				return nil, false, s.fail(start, "string is not valid UTF-8")
			}
			return raw, escaped, nil
		case c == '\\':
			_, n := unescape(s.data[i:])
			if n == 0 {
				return nil, false, s.fail(i, "bad escape in a string")
			}
			escaped = true
			i += n
		case c < 0x20:
			return nil, false, s.fail(i, "control character 0x%02x in a string", c)
		default:
			ascii = ascii && c < utf8.RuneSelf
			i++
		}
	}
	return nil, false, s.fail(start, "string without an end")
}

// unescape decodes the escape that b starts with and returns its length, 0 when
// it is none. A surrogate must be one of a pair.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(b[2:])
		if !ok {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
			return 0, 0
		}
		low, ok := hex4(b[8:])
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, 0
		}
		return r, 12
	}
	return 0, 0
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads the text of a number; integer says that it has no sign,
// fraction or exponent.
func (s *scanner) number() (text string, integer bool, err error) {
	s.space()
	start, i := s.pos, s.pos
	digits := func() bool {
		from := i
		for i < len(s.data) && s.data[i] >= '0' && s.data[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(set ...byte) bool {
		for _, c := range set {
			if i < len(s.data) && s.data[i] == c {
				i++
				return true
			}
		}
		return false
	}
	integer = !at('-')
	whole := i
	ok := digits()
	if ok && s.data[whole] == '0' && i > whole+1 {
		ok = false // a leading zero
	}
	if ok && at('.') {
		integer, ok = false, digits()
	}
	if ok && at('e', 'E') {
		integer = false
		at('+', '-')
		ok = digits()
	}
	if !ok {
		return "", false, s.unexpected("a number")
	}
	s.pos = i
	if i-start > 400 {
		return "", false, s.fail(start, "number of %d digits", i-start)
	}
	return string(s.data[start:i]), integer, nil
}

// integer reads a number without sign, fraction or exponent, at most limit.
func (s *scanner) integer(limit int64) (int64, error) {
	s.space()
	start := s.pos
	var short int64 // up to 18 digits cannot overflow
	for i := start; i < len(s.data) && i <= start+18; i++ {
		c := s.data[i]
		if c >= '0' && c <= '9' {
			short = short*10 + int64(c-'0')
			continue
		}
		if (c == ',' || c == ']') && i > start && short <= limit && (s.data[start] != '0' || i == start+1) {
			s.pos = i
			return short, nil
		}
		break // anything else is read, or refused, the long way
	}
	text, integer, err := s.number()
	if err != nil {
		return 0, err
	}
	n, perr := strconv.ParseInt(text, 10, 64)
	if !integer || perr != nil || n > limit {
		return 0, s.fail(start, "number %s, expected an integer of 0 to %d", clip(text), limit)
	}
	return n, nil
}
