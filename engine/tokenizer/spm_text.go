package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// normalizer is sentencepiece's (src/normalizer.cc) for the identity rule.
type normalizer struct {
	spmSpec
	user *matcher // their texts pass as they are
}

// run returns the text that is encoded: invalid bytes each become U+FFFD, spaces
// become marks, and a mark goes before the text.
func (n *normalizer) run(text string) string {
	if !utf8.ValidString(text) {
		text = replaceInvalid(text)
	}
	space := spaceMark
	if n.keepSpaces {
		space = " "
	}
	if n.removeExtraSpaces {
		return n.runSqueezed(text, space)
	}
	if text == "" {
		return ""
	}
	text = strings.ReplaceAll(text, " ", space)
	if n.dummyPrefix {
		text = space + text
	}
	return text
}

// runSqueezed drops leading and trailing spaces and all but one of those
// between words. A user-defined piece that has spaces inside keeps those that do
// not follow one.
func (n *normalizer) runSqueezed(text, space string) string {
	var found []match
	if n.user != nil {
		found = n.user.all(text)
	}
	part := func(i int) string {
		for len(found) > 0 && found[len(found)-1].start < i {
			found = found[:len(found)-1]
		}
		if k := len(found) - 1; k >= 0 && found[k].start == i {
			return text[i : i+n.user.length[found[k].index]]
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		return text[i : i+size]
	}
	i := 0
	for i < len(text) && part(i) == " " {
		i++
	}
	if i == len(text) {
		return ""
	}
	var b strings.Builder
	if n.dummyPrefix {
		b.WriteString(space)
	}
	afterSpace := true
	for i < len(text) {
		p := part(i)
		i += len(p)
		if afterSpace {
			p = strings.TrimLeft(p, " ")
		}
		if p != "" {
			b.WriteString(strings.ReplaceAll(p, " ", space))
			afterSpace = strings.HasSuffix(p, " ")
		}
	}
	out := b.String()
	for strings.HasSuffix(out, space) {
		out = out[:len(out)-len(space)]
	}
	return out
}

// replaceInvalid puts one U+FFFD for each byte that is no part of a character.
func replaceInvalid(text string) string {
	var b strings.Builder
	for _, r := range text { // range yields U+FFFD for each such byte
		b.WriteRune(r)
	}
	return b.String()
}

// newSentencePiece makes the tokenizer of checked pieces.
func newSentencePiece(pieces []piece, spec spmSpec) (*Tokenizer, error) {
	m, err := newSPM(pieces, spec)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{
		kind: SentencePiece, bos: -1, eos: -1, pad: -1, unk: spec.unk,
		tokens: make([]token, len(pieces)), specials: map[string]int{},
		decode: decodeRule{bytePieces: true},
	}
	if spec.dummyPrefix {
		t.decode.strip = stripPiece
	}
	if spec.removeExtraSpaces {
		t.decode.strip = stripAllPieces
	}
	var control []addedToken
	var texts []string
	for i, p := range pieces {
		tok := token{text: p.text, bytes: strings.ReplaceAll(p.text, spaceMark, " ")}
		switch {
		case i == spec.unk:
			tok.bytes = spec.unkSurface
		case p.kind == typeControl:
			tok.silent = true
		case p.kind == typeByte:
			b, _ := byteOf(p.text)
			tok.bytes, tok.isByte = string([]byte{b}), true
		}
		t.tokens[i] = tok
		if p.kind == typeControl || p.kind == typeUnknown {
			control = append(control, addedToken{id: int32(i), text: p.text, special: true})
			texts = append(texts, p.text)
			t.specials[p.text] = i
		}
	}
	if t.added, err = newAdded(control, texts); err != nil {
		return nil, err
	}
	n := &normalizer{spec, m.user}
	t.encodeText = func(dst []int32, text string, _ bool, s *scratch) []int32 {
		return m.encode(dst, n.run(text), s)
	}
	return t, nil
}

func ggufSentencePiece(v GGUFVocab) (*Tokenizer, error) {
	if len(v.Scores) != len(v.Tokens) || len(v.Types) != len(v.Tokens) {
		return nil, errorf("tokenizer.ggml.tokens has %d entries, .scores %d and .token_type %d: a llama vocabulary has as many of each",
			len(v.Tokens), len(v.Scores), len(v.Types))
	}
	pieces := make([]piece, len(v.Tokens))
	for i, text := range v.Tokens {
		pieces[i] = piece{text, v.Scores[i], v.Types[i]}
	}
	t, err := newSentencePiece(pieces, spmSpec{unk: v.UNK, dummyPrefix: v.AddSpacePrefix, unkSurface: defaultUnkSurface})
	if err != nil {
		return nil, err
	}
	t.bos, t.eos, t.addBOS = v.BOS, v.EOS, v.AddBOS
	return t, nil
}

// defaultUnkSurface is what the unknown token shows as.
const defaultUnkSurface = " \u2047 "
