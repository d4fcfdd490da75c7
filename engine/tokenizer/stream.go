package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// decodeRule is what distinguishes the decoders.
type decodeRule struct {
	// bytePieces: only byte tokens hold parts of characters, and each of their
	// bytes that belongs to none becomes one U+FFFD (sentencepiece). Otherwise
	// all tokens are bytes and each maximal part of a broken character becomes
	// one U+FFFD, as in Rust, Python and the Unicode standard.
	bytePieces bool
	strip      stripRule
	mark       string // of stripMarks
}

// stripRule says what becomes of the space that encoding put before a text.
type stripRule uint8

const (
	stripNone  stripRule = iota
	stripPiece           // the first token that shows loses its leading space
	stripText            // the text loses its leading space
	// stripAllPieces: as long as nothing has come out, tokens lose their leading
	// space (sentencepiece with remove_extra_whitespaces).
	stripAllPieces
	// stripMarks: the very first token loses all its spaces (the Metaspace decoder).
	stripMarks
)

// Stream decodes ids one by one and holds back bytes until they make a whole
// character. What Add and Flush return, joined, is what Decode returns.
type Stream struct {
	t       *Tokenizer
	pending []byte // the start of a character; at most 3 bytes
	started bool   // a token has been seen that ends stripping
}

// NewStream returns a stream at the start of a text.
func (t *Tokenizer) NewStream() *Stream { return &Stream{t: t} }

// Add takes the next id and returns the text that is complete.
func (s *Stream) Add(id int32) string {
	var out strings.Builder
	s.add(&out, id)
	return out.String()
}

// Flush ends the text: what was held back comes out as U+FFFD.
func (s *Stream) Flush() string {
	var out strings.Builder
	s.flush(&out)
	s.started = false
	return out.String()
}

// Decode returns the text of all ids. Ids outside the vocabulary and, in
// SentencePiece vocabularies, control tokens show nothing.
func (t *Tokenizer) Decode(ids []int32) string {
	var out strings.Builder
	s := t.NewStream()
	for _, id := range ids {
		s.add(&out, id)
	}
	s.flush(&out)
	return out.String()
}

// Piece returns the text of one id alone, as Meta's decode([id]): a part of a
// character shows as U+FFFD, and SentencePiece drops a leading space.
func (t *Tokenizer) Piece(id int32) string { return t.Decode([]int32{id}) }

func (s *Stream) add(out *strings.Builder, id int32) {
	if id < 0 || int(id) >= len(s.t.tokens) {
		return
	}
	rule, tok := s.t.decode, &s.t.tokens[id]
	text := tok.bytes
	if tok.silent {
		s.flush(out)
		return
	}
	if !s.started {
		text = s.strip(tok, text)
	}
	switch {
	case !rule.bytePieces:
		s.addBytes(out, text)
	case tok.isByte:
		s.addBytes(out, text)
	default:
		s.flush(out)
		out.WriteString(text)
	}
}

// strip applies the rule for the start of a text.
func (s *Stream) strip(tok *token, text string) string {
	switch rule := s.t.decode.strip; rule {
	case stripPiece, stripAllPieces:
		if tok.isByte {
			s.started = true
			return text
		}
		rest, had := text, strings.HasPrefix(tok.text, spaceMark)
		if had {
			rest = text[1:]
		}
		// A token that was all space, or empty, leaves the text empty.
		s.started = rest != "" || had && rule == stripPiece
		return rest
	case stripText:
		s.started = text != ""
		return strings.TrimPrefix(text, " ")
	case stripMarks:
		s.started = true
		return strings.ReplaceAll(tok.text, s.t.decode.mark, "")
	}
	s.started = true
	return text
}

// addBytes appends bytes that may end within a character.
func (s *Stream) addBytes(out *strings.Builder, text string) {
	if len(s.pending) > 0 {
		text = string(append(s.pending, text...))
		s.pending = s.pending[:0]
	}
	good := 0
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		if r != utf8.RuneError || n > 1 {
			i += n
			continue
		}
		out.WriteString(text[good:i])
		if !utf8.FullRuneInString(text[i:]) {
			s.pending = append(s.pending, text[i:]...)
			return
		}
		i += s.broken(text[i:])
		out.WriteRune(utf8.RuneError)
		good = i
	}
	out.WriteString(text[good:])
}

// flush ends a run of bytes.
func (s *Stream) flush(out *strings.Builder) {
	for p := s.pending; len(p) > 0; {
		out.WriteRune(utf8.RuneError)
		p = p[s.broken(string(p)):]
	}
	s.pending = s.pending[:0]
}

// broken returns how many bytes of a text that starts with no character one
// U+FFFD stands for.
func (s *Stream) broken(text string) int {
	n := 1
	if !s.t.decode.bytePieces {
		for n < len(text) && !utf8.FullRuneInString(text[:n]) && !utf8.FullRuneInString(text[:n+1]) {
			n++
		}
	}
	return n
}
