package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// bpe is byte-pair encoding by a list of merges, as `tokenizers` does it.
type bpe struct {
	ids     map[string]int32 // of a word's text (byte-level: its bytes)
	merges  *pairTable
	nMerges int
	// bytes are the ids of single bytes, -1 where the vocabulary has none
	// (byte-level), or of the <0xNN> tokens (byte fallback).
	bytes        [256]int32
	byteLevel    bool
	byteFallback bool // all of an unknown character's bytes or none
	ignoreMerges bool // a word that is a token is that token
	fuseUnk      bool
	unk          int32 // -1: what is unknown is dropped
}

// pair implements rules.
func (b *bpe) pair(_ string, l, r *symbol) (uint32, int32) {
	p := b.merges.get(l.id, r.id)
	return p.rank, p.id
}

func (b *bpe) ranks() int { return b.nMerges }

// encode appends the ids of one word.
func (b *bpe) encode(dst []int32, word string, s *scratch) []int32 {
	if b.ignoreMerges {
		if id, ok := b.ids[word]; ok {
			return append(dst, id)
		}
	}
	s.syms = slices.Grow(s.syms[:0], len(word))
	if b.byteLevel {
		b.symbolsOfBytes(word, s)
	} else {
		b.symbolsOfChars(word, s)
	}
	if len(s.syms) == 0 {
		return dst
	}
	s.merge(word, b)
	for i := int32(0); i >= 0; i = s.syms[i].next {
		dst = append(dst, s.syms[i].id)
	}
	return dst
}

func (b *bpe) symbolsOfBytes(word string, s *scratch) {
	u := unknowns{b: b, s: s}
	for i := range len(word) {
		if id := b.bytes[word[i]]; id >= 0 {
			u.flush()
			s.syms = append(s.syms, symbol{id: id})
		} else {
			u.add()
		}
	}
	u.flush()
}

func (b *bpe) symbolsOfChars(word string, s *scratch) {
	u := unknowns{b: b, s: s}
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		char := word[i : i+n]
		i += n
		if id, ok := b.ids[char]; ok {
			u.flush()
			s.syms = append(s.syms, symbol{id: id})
		} else if !b.byteFallback || !b.fallBack(char, s) {
			u.add()
		}
	}
	u.flush()
}

// fallBack appends the byte tokens of an unknown character, when all exist.
func (b *bpe) fallBack(char string, s *scratch) bool {
	for i := range len(char) {
		if b.bytes[char[i]] < 0 {
			return false
		}
	}
	for i := range len(char) {
		s.syms = append(s.syms, symbol{id: b.bytes[char[i]]})
	}
	return true
}

// unknowns appends the unknown token for characters that are in no way in the
// vocabulary. One waits until the next known character, so that byte
// fallback in between comes out first: `tokenizers` does so.
type unknowns struct {
	b       *bpe
	s       *scratch
	pending bool
}

func (u *unknowns) add() {
	if u.b.unk < 0 {
		return
	}
	if u.pending && !u.b.fuseUnk {
		u.flush()
	}
	u.pending = true
}

func (u *unknowns) flush() {
	if u.pending {
		u.s.syms = append(u.s.syms, symbol{id: u.b.unk})
		u.pending = false
	}
}

// addMerges fills b.merges. texts are the vocabulary's texts and ids their ids
// as the file has them (byte-level: mapped). A merge makes the token of
// its joined text, which is longer than its parts, so no cycle can arise.
func (b *bpe) addMerges(n int, at func(i int) (l, r string), ids map[string]int32) error {
	if n > maxVocab {
		return errorf("%d merges, at most %d are supported", n, maxVocab)
	}
	b.merges, b.nMerges = newPairTable(n), n
	var joined []byte
	for i := range n {
		l, r := at(i)
		if l == "" || r == "" {
			return errorf("merge %d (%q, %q) has an empty part: it would never end", i, clip(l), clip(r))
		}
		joined = append(append(joined[:0], l...), r...)
		li, ok := ids[l]
		if !ok {
			return errorf("merge %d: its left part %q is not in the vocabulary", i, clip(l))
		}
		ri, ok := ids[r]
		if !ok {
			return errorf("merge %d: its right part %q is not in the vocabulary", i, clip(r))
		}
		id, ok := ids[string(joined)]
		if !ok {
			return errorf("merge %d: its result %q is not in the vocabulary", i, clip(string(joined)))
		}
		b.merges.set(li, ri, pair{uint32(i), id})
	}
	return nil
}

// splitMerge cuts a merge of the form "a b".
func splitMerge(i int, line string) (l, r string, err error) {
	l, r, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(r, " ") {
		return "", "", errorf("merge %d is %q, expected two tokens with one space between", i, clip(line))
	}
	return l, r, nil
}

// clip shortens a text from a file for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
