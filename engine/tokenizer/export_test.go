package tokenizer

// Classes are the predicates over characters that splitting rests on.
var Classes = map[string]func(rune) bool{
	"letter":  func(r rune) bool { return classOf(r) == letter },
	"number":  func(r rune) bool { return classOf(r) == number },
	"space":   func(r rune) bool { return classOf(r) == space },
	"numeric": isNumeric,
	"word":    isWord,
}

// MapBytes writes bytes as byte-level vocabularies do.
func MapBytes(raw string) string {
	var out []rune
	for i := range len(raw) {
		out = append(out, byteToRune[raw[i]])
	}
	return string(out)
}

// Split cuts a text by a known pattern.
func Split(pattern, text string) []string {
	var words []string
	splitBy(splitters[pattern])(text, true, func(word string, _ bool) { words = append(words, word) })
	return words
}

// The known patterns.
const (
	PatternGPT2 = patternGPT2
	PatternLl3  = patternLl3
	PatternQwen = patternQwen
)

// DefaultSystem is what a ChatML template says for a dialog without a system message.
var DefaultSystem = defaultSystem

// MergeBothWays merges letters by a table of pairs with both algorithms.
func MergeBothWays(word string, ranks map[string]uint32) (small, queue []string) {
	r := textRules(ranks)
	run := func(merge func(*scratch)) (parts []string) {
		var s scratch
		for i := range len(word) {
			s.syms = append(s.syms, symbol{start: int32(i), end: int32(i) + 1, prev: int32(i) - 1, next: int32(i) + 1})
		}
		s.syms[len(word)-1].next = -1
		merge(&s)
		for i := int32(0); i >= 0; i = s.syms[i].next {
			parts = append(parts, word[s.syms[i].start:s.syms[i].end])
		}
		return parts
	}
	return run(func(s *scratch) { s.mergeSmall(word, r) }), run(func(s *scratch) { s.mergeQueue(word, r) })
}

type textRules map[string]uint32

func (t textRules) pair(word string, l, r *symbol) (uint32, int32) {
	if rank, ok := t[word[l.start:r.end]]; ok {
		return rank, int32(rank)
	}
	return noRank, 0
}

func (t textRules) ranks() int { return 100 }
