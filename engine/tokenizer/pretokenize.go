package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// A stage is one pre-tokenizer: it cuts a text and hands the parts on. first
// says that the text is the start of the whole input.
type stage func(text string, first bool, emit func(word string, first bool))

// chain runs stages one after the other, each on the parts of the one before.
func chain(stages []stage) stage {
	switch len(stages) {
	case 0:
		return func(text string, first bool, emit func(string, bool)) { emit(text, first) }
	case 1:
		return stages[0]
	}
	head, tail := stages[0], chain(stages[1:])
	return func(text string, first bool, emit func(string, bool)) {
		head(text, first, func(part string, first bool) { tail(part, first, emit) })
	}
}

// splitBy cuts a text into the splitter's words.
func splitBy(next splitter) stage {
	return func(text string, first bool, emit func(string, bool)) {
		for text != "" {
			n := next(text)
			emit(text[:n], first)
			text, first = text[n:], false
		}
	}
}

// spacePrefix puts one space before a text that has none, then runs next.
func spacePrefix(next stage) stage {
	return func(text string, first bool, emit func(string, bool)) {
		if text != "" && !strings.HasPrefix(text, " ") {
			text = " " + text
		}
		next(text, first, emit)
	}
}

// digits isolates numeric characters, one by one or run by run.
func digits(individual bool) stage {
	return func(text string, first bool, emit func(string, bool)) {
		start, inRun := 0, false
		cut := func(i int) {
			if i > start {
				emit(text[start:i], first)
				start, first = i, false
			}
		}
		for i, r := range text {
			numeric := isNumeric(r)
			if numeric != inRun || numeric && individual {
				cut(i)
			}
			inRun = numeric
		}
		cut(len(text))
	}
}

// metaspace writes spaces as mark, puts a mark before the text (always, or when
// it starts the input) and, with split, cuts before each mark.
func metaspace(mark string, prepend prependScheme, split bool) stage {
	return func(text string, first bool, emit func(string, bool)) {
		text = strings.ReplaceAll(text, " ", mark)
		if (prepend == prependAlways || prepend == prependFirst && first) && !strings.HasPrefix(text, mark) {
			text = mark + text
		}
		for split && text != "" {
			_, n := utf8.DecodeRuneInString(text)
			i := strings.Index(text[n:], mark)
			if i < 0 {
				break
			}
			emit(text[:n+i], first)
			text, first = text[n+i:], false
		}
		if text != "" {
			emit(text, first)
		}
	}
}

type prependScheme uint8

const (
	prependNever prependScheme = iota
	prependFirst
	prependAlways
)
