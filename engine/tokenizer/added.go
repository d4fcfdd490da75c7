package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is looked for in the text before BPE runs.
type addedToken struct {
	id         int32
	text       string
	special    bool // only where Special allows it
	lstrip     bool // takes the white space before it
	rstrip     bool // takes the white space after it
	singleWord bool // not inside a word
	normalized bool // looked for in normalized text, in normalized form
}

// addedTokens finds added tokens as `tokenizers` does (AddedVocabulary): all of
// them leftmost-longest, and one that is not wanted where it stands is
// passed over as text. A token inside white space that the one before took is
// still found, as there.
type addedTokens struct {
	tokens []addedToken
	find   *matcher
}

// newAdded makes the set of tokens; texts are what is looked for.
func newAdded(tokens []addedToken, texts []string) (*addedTokens, error) {
	m, err := newMatcher(texts)
	if m == nil || err != nil {
		return nil, err
	}
	return &addedTokens{tokens, m}, nil
}

// split calls run for the text between tokens and token for each token found.
// start is the offset of a run in text.
func (a *addedTokens) split(text string, special Special, run func(text string, start int), token func(id int32)) {
	done := 0
	if a != nil {
		found := a.find.all(text)
		end := 0                     // of the last match, wanted or not
		spaceFrom, spaceTo := -1, -1 // white space after a token
		for i := len(found) - 1; i >= 0; i-- {
			f := found[i]
			if f.start < end {
				continue
			}
			t := &a.tokens[f.index]
			start, stop := f.start, f.start+a.length(f)
			end = stop
			if t.special && !special.allows(t.text) || t.singleWord && inWord(text, start, stop) {
				continue
			}
			if t.lstrip && start > done {
				start = done + len(strings.TrimRightFunc(text[done:start], unicode.IsSpace))
			}
			if t.rstrip {
				if stop < spaceFrom || stop > spaceTo { // not in the run that was seen last
					spaceFrom, spaceTo = stop, spaceAfter(text, stop)
				}
				stop = spaceTo
			}
			if done < start {
				run(text[done:start], done)
			}
			token(t.id)
			done = stop
		}
	}
	if done < len(text) {
		run(text[done:], done)
	}
}

func (a *addedTokens) length(f match) int { return a.find.length[f.index] }

func inWord(text string, start, stop int) bool {
	before, n := utf8.DecodeLastRuneInString(text[:start])
	after, m := utf8.DecodeRuneInString(text[stop:])
	return n > 0 && isWord(before) || m > 0 && isWord(after)
}

func spaceAfter(text string, i int) int {
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !unicode.IsSpace(r) {
			break
		}
		i += n
	}
	return i
}
