package weights

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
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

func (s *scanner) word(w string) error {
	if s.space(); len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.unexpected("a value")
	}
	s.pos += len(w)
	return nil
}

// skip reads a value and forgets it. Keys inside are not looked at for
// duplicates.
func (s *scanner) skip() error {
	switch s.peek() {
	case '{':
		if err := s.enter(); err != nil {
			return err
		}
		s.pos++
		if s.peek() == '}' {
			s.pos++
			s.depth--
			return nil
		}
		for {
			if _, _, err := s.rawString(); err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
			if err := s.skip(); err != nil {
				return err
			}
			if s.peek() == '}' {
				s.pos++
				s.depth--
				return nil
			}
			if err := s.expect(','); err != nil {
				return err
			}
		}
	case '[':
		return s.array(func(int) error { return s.skip() })
	case '"':
		_, _, err := s.rawString()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	_, _, err := s.number()
	return err
}

// value is a JSON value that a config keeps: nil, bool, number, string,
// []value or object.
type value any

// number is the text of a JSON number.
type number string

type object struct {
	keys   []string
	values map[string]value
}

// value reads any value, at most maxJSONNodes of them in one file.
func (s *scanner) value() (value, error) {
	if s.nodes++; s.nodes > maxJSONNodes {
		return nil, s.fail(s.pos, "JSON has more than %d values", maxJSONNodes)
	}
	switch s.peek() {
	case '{':
		o := object{values: map[string]value{}}
		err := s.object(maxJSONNodes, maxNameBytes, func(key string) error {
			v, err := s.value()
			o.keys = append(o.keys, key)
			o.values[key] = v
			return err
		})
		return o, err
	case '[':
		var list []value
		err := s.array(func(int) error {
			v, err := s.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return s.str(maxTemplateBytes)
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case 'n':
		return nil, s.word("null")
	}
	text, _, err := s.number()
	return number(text), err
}

// parseObject reads a whole file that must be one JSON object.
func parseObject(data []byte, kind ErrorKind) (object, error) {
	s := &scanner{data: data, kind: kind}
	if s.peek() != '{' {
		return object{}, s.unexpected("a JSON object")
	}
	v, err := s.value()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return object{}, err
	}
	return v.(object), nil
}

// clip shortens untrusted text for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
