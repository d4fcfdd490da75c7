package kernel

import (
	"strings"
	"unicode"
)

// cell is a parsed cell: leading magic lines, then a prompt. Both may be empty.
type cell struct {
	magics []call
	prompt string
}

// call is one magic line. `%name text` takes the rest of its line, `%%name
// text` the rest of the cell too; `%name?` asks for help on it.
type call struct {
	name string // without percent signs
	text string // what follows the name, trimmed; of %%name also the lines below
	body bool   // written %%name
	help bool   // written %name?
}

// parseCell splits a cell. Magic lines come first, blank lines between them do
// not count; the first other line begins the prompt. A line is a magic when a
// letter follows its percent sign, so "% of what?" is a prompt, and `\%set` is
// a prompt that begins with "%set".
func parseCell(code string) cell {
	var c cell
	if strings.TrimSpace(code) == "?" {
		c.magics = []call{{name: "help", help: true}}
		return c
	}
	lines := logicalLines(code)
	for i, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		m, ok := parseCall(line)
		if !ok {
			c.prompt = trimPrompt(strings.Join(lines[i:], "\n"))
			return c
		}
		if m.body {
			m.text = trimBody(strings.Join(append([]string{m.text}, lines[i+1:]...), "\n"))
			c.magics = append(c.magics, m)
			return c
		}
		c.magics = append(c.magics, m)
	}
	return c
}

// parseCall reads a magic line; false when it is none.
func parseCall(line string) (call, bool) {
	line = strings.TrimRightFunc(line, unicode.IsSpace)
	rest, ok := strings.CutPrefix(line, "%")
	if !ok {
		return call{}, false
	}
	var m call
	rest, m.body = strings.CutPrefix(rest, "%")
	if rest == "" || !isLetter(rest[0]) {
		return call{}, false
	}
	name, text, _ := strings.Cut(strings.Map(spaceToBlank, rest[:nameEnd(rest)])+rest[nameEnd(rest):], " ")
	if n, help := strings.CutSuffix(name, "?"); help {
		name, m.help = strings.TrimRight(n, "?"), true
	}
	m.name, m.text = name, strings.TrimSpace(text)
	return m, true
}

// nameEnd is the index behind the name and the one white space that ends it.
func nameEnd(s string) int {
	for i, r := range s {
		if unicode.IsSpace(r) {
			return i + len(string(r))
		}
	}
	return len(s)
}

func spaceToBlank(r rune) rune {
	if unicode.IsSpace(r) {
		return ' '
	}
	return r
}

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

// trimPrompt drops blank lines around a prompt and the backslash that protects
// a leading percent sign.
func trimPrompt(s string) string {
	s = trimBody(s)
	if strings.HasPrefix(s, `\%`) {
		s = s[1:]
	}
	return s
}

// trimBody drops blank lines before a text and white space behind it.
func trimBody(s string) string {
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	for {
		first, rest, more := strings.Cut(s, "\n")
		if !more || strings.TrimSpace(first) != "" {
			return s
		}
		s = rest
	}
}

// logicalLines splits code at line ends. A line that ends in a backslash, which
// the console needs to go on to another line, is joined with the next one by a
// line end; fenced code is left alone, and so is an even number of backslashes.
func logicalLines(code string) []string {
	var lines []string
	var fence fence
	joining := false
	for _, line := range strings.Split(strings.ReplaceAll(code, "\r\n", "\n"), "\n") {
		wasOpen := fence.open()
		fence.next(line)
		continued := !wasOpen && !fence.open() && continues(line)
		if continued {
			line = line[:len(line)-1]
		}
		if joining {
			lines[len(lines)-1] += "\n" + line
		} else {
			lines = append(lines, line)
		}
		joining = continued
	}
	if joining { // nothing follows: the backslash was meant
		lines[len(lines)-1] += `\`
	}
	return lines
}

// continues says whether a line ends in an odd number of backslashes.
func continues(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// fence follows the fenced code blocks of Markdown (CommonMark 0.31 §4.5): a
// run of three or more backticks or tildes opens one, a run of the same sign
// that is at least as long, alone on its line, closes it.
type fence struct {
	mark byte
	n    int // length of the opening run; 0: outside
}

func (f *fence) open() bool { return f.n > 0 }

func (f *fence) next(line string) {
	s := strings.TrimLeft(line, " ")
	if len(line)-len(s) > 3 || s == "" || s[0] != '`' && s[0] != '~' {
		return
	}
	mark := s[0]
	rest := strings.TrimLeft(s, string(mark))
	n := len(s) - len(rest)
	switch {
	case n < 3:
	case !f.open():
		if mark == '~' || !strings.ContainsRune(rest, '`') {
			f.mark, f.n = mark, n
		}
	case mark == f.mark && n >= f.n && strings.TrimSpace(rest) == "":
		f.n = 0
	}
}

// isComplete is the verdict of is_complete: whether Enter should run the code,
// or the reader wants another line.
func isComplete(code string) string {
	if strings.TrimSpace(code) == "" {
		return "complete"
	}
	var fence fence
	lines := strings.Split(code, "\n")
	for _, line := range lines {
		fence.next(line)
	}
	c := parseCell(code)
	for _, m := range c.magics {
		g, ok := findMagic(m.name)
		if !ok || m.body && !g.body {
			return "invalid"
		}
		if m.body && (m.text == "" || strings.TrimSpace(lines[len(lines)-1]) != "") {
			return "incomplete" // an empty line ends the text of a %%magic
		}
	}
	if fence.open() || continues(lines[len(lines)-1]) {
		return "incomplete"
	}
	return "complete"
}
