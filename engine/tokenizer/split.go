package tokenizer

import "unicode/utf8"

// A splitter cuts a text into words that BPE encodes one by one. It is one of
// the regular expressions that Llama's relatives use, coded by hand: they hold
// a lookahead, which Go's regexp has not, and some are quadratic when run by a
// backtracking engine. next returns the length of the first word of a text
// that is not empty; the words of a text follow each other without gaps.
type splitter func(text string) int

// The patterns that are known, as files write them.
const (
	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLl3  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var splitters = map[string]splitter{
	patternGPT2: nextGPT2,
	patternLl3:  func(text string) int { return nextLlama3(text, 3) },
	patternQwen: func(text string) int { return nextLlama3(text, 1) },
}

// first returns the class and length of the first character; a byte of
// invalid UTF-8 is a character of class other.
func first(text string) (rune, class, int) {
	if text == "" {
		return -1, other, 0
	}
	if c := text[0]; c < utf8.RuneSelf {
		return rune(c), asciiClass[c], 1
	}
	r, n := utf8.DecodeRuneInString(text)
	if r == utf8.RuneError {
		return r, other, n
	}
	return r, slowClass(r), n
}

// run returns the end of the run of characters of class c that starts at i.
func run(text string, i int, c class) int {
	for i < len(text) {
		_, k, n := first(text[i:])
		if k != c {
			break
		}
		i += n
	}
	return i
}

// nextGPT2 is the first match of patternGPT2.
func nextGPT2(text string) int {
	if n := contraction(text, false); n > 0 {
		return n
	}
	r, c, n := first(text)
	if r == ' ' && n < len(text) {
		// " ?" takes one space before a word of any class but space.
		if _, c2, _ := first(text[n:]); c2 != space {
			return run(text, n, c2)
		}
	}
	if c != space {
		return run(text, n, c)
	}
	return spaces(text)
}

// nextLlama3 is the first match of patternLl3 (digits 3) or patternQwen (1).
func nextLlama3(text string, digits int) int {
	if n := contraction(text, true); n > 0 {
		return n
	}
	r, c, n := first(text)
	// [^\r\n\p{L}\p{N}]?\p{L}+
	if c == letter {
		return run(text, n, letter)
	}
	_, c2, n2 := first(text[n:])
	if c != number && r != '\r' && r != '\n' && c2 == letter {
		return run(text, n+n2, letter)
	}
	// \p{N}{1,digits}
	if c == number {
		for k := 1; k < digits && n < len(text); k++ {
			_, c, m := first(text[n:])
			if c != number {
				break
			}
			n += m
		}
		return n
	}
	//  ?[^\s\p{L}\p{N}]+[\r\n]*
	if c == other || r == ' ' && n2 > 0 && c2 == other {
		n = run(text, n, other)
		for n < len(text) && (text[n] == '\r' || text[n] == '\n') {
			n++
		}
		return n
	}
	// \s*[\r\n]+ takes white space up to the last line end in it.
	end, line := 0, 0
	for end < len(text) {
		r, c, n := first(text[end:])
		if c != space {
			break
		}
		end += n
		if r == '\r' || r == '\n' {
			line = end
		}
	}
	if line > 0 {
		return line
	}
	return spaces(text)
}

// spaces matches \s+(?!\S)|\s+ on a text that starts with white space: all of
// it, but its last character when a word follows and it has more than one.
func spaces(text string) int {
	end, last := 0, 0
	for end < len(text) {
		_, c, n := first(text[end:])
		if c != space {
			break
		}
		last, end = end, end+n
	}
	if end < len(text) && last > 0 {
		return last
	}
	return end
}

// contraction returns the length of 's 't 're 've 'm 'll 'd at the start, or 0.
// Case folding makes s of U+017F, the long s, too.
func contraction(text string, fold bool) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	lower := func(c byte) byte {
		if fold && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	switch c := lower(text[1]); c {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v', 'l':
		second := byte('e')
		if c == 'l' {
			second = 'l'
		}
		if len(text) > 2 && lower(text[2]) == second {
			return 3
		}
	case 0xC5:
		if fold && len(text) > 2 && text[2] == 0xBF {
			return 3
		}
	}
	return 0
}
