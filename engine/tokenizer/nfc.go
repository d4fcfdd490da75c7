package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// joiner is what package norm puts after 30 combining marks in a row, for the
// sake of streams (UAX #15, Stream-Safe Text Format).
const joiner = "\u034f"

// maxNFC is how many times longer NFC can make a text (UAX #15).
const maxNFC = 3

// nfc is Unicode's Normalization Form C, as the peer has it: without joiners in
// long runs of marks.
func nfc(text string) string {
	out := norm.NFC.String(text)
	if strings.Count(out, joiner) == strings.Count(text, joiner) {
		return out
	}
	return compose(decompose(text))
}

// mark is a character and its canonical combining class; 0: a starter.
type mark struct {
	r     rune
	class uint8
}

// decompose is NFD: each character in its parts, and the marks between two
// starters in the order of their classes. An invalid byte becomes U+FFFD.
func decompose(text string) []mark {
	all := make([]mark, 0, len(text))
	for _, r := range text {
		for _, d := range norm.NFD.String(string(r)) {
			all = append(all, mark{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for start := 0; start < len(all); start++ {
		end := start
		for end < len(all) && all[end].class != 0 {
			end++
		}
		slices.SortStableFunc(all[start:end], func(a, b mark) int { return cmp.Compare(a.class, b.class) })
		start = max(start, end-1)
	}
	return all
}

// compose joins each character with the starter before it, unless one between
// them is of its class or a higher one.
func compose(all []mark) string {
	out := make([]rune, 0, len(all))
	starter, last := -1, uint8(0) // last: the class of the character before, 0: that is the starter
	for _, m := range all {
		if starter >= 0 && (last == 0 || last < m.class) {
			if one, ok := composite(out[starter], m.r); ok {
				out[starter] = one
				continue
			}
		}
		if m.class == 0 {
			starter = len(out)
		}
		last = m.class
		out = append(out, m.r)
	}
	return string(out)
}

// composite is the character that two compose to.
func composite(a, b rune) (rune, bool) {
	s := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
