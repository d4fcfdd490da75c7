package tokenizer

import "strings"

// defaultSystem returns the system message that a ChatML template puts before a
// dialog without one: what stands between <|im_start|>system\n and <|im_end|> in
// one string of the template.
func defaultSystem(template string) (string, bool) {
	for _, text := range templateTexts(template) {
		_, rest, ok := strings.Cut(text, imStart+"system\n")
		if !ok {
			continue
		}
		if content, _, ok := strings.Cut(rest, imEnd); ok && content != "" {
			return content, true
		}
	}
	return "", false
}

// templateTexts returns the constant texts of a jinja template in order: what
// stands outside of tags, and the string literals inside, unescaped. Comments
// are left out. Time is linear.
func templateTexts(template string) []string {
	var texts []string
	for template != "" {
		i := strings.IndexByte(template, '{')
		for i >= 0 && i+1 < len(template) && !strings.ContainsRune("{%#", rune(template[i+1])) {
			k := strings.IndexByte(template[i+1:], '{')
			if k < 0 {
				i = -1
				break
			}
			i += 1 + k
		}
		if i < 0 || i+1 >= len(template) {
			return append(texts, template)
		}
		if i > 0 {
			texts = append(texts, template[:i])
		}
		closing := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[template[i+1]]
		template = template[i+2:]
		if closing == "#}" {
			_, template, _ = strings.Cut(template, closing)
			continue
		}
		template = tagTexts(template, closing, &texts)
	}
	return texts
}

// tagTexts reads the inside of a tag, appends its string literals, and returns
// what follows the tag.
func tagTexts(s, closing string, texts *[]string) string {
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], closing) {
			return s[i+len(closing):]
		}
		if s[i] != '\'' && s[i] != '"' {
			continue
		}
		text, n := literal(s[i:])
		*texts = append(*texts, text)
		i += n - 1
	}
	return ""
}

// literal reads a quoted string and returns its value and length.
func literal(s string) (string, int) {
	escapes := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', '\'': '\'', '"': '"'}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0]:
			return b.String(), i + 1
		case c == '\\' && i+1 < len(s):
			i++
			if e, ok := escapes[s[i]]; ok {
				b.WriteByte(e)
			} else {
				b.WriteByte('\\')
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), len(s)
}
