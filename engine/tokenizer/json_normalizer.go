package tokenizer

import "strings"

// readNormalizer returns nil for none.
func readNormalizer(v any) (func(string) string, error) {
	n := normalizers{growth: 1}
	if err := n.read(v); err != nil || len(n.steps) == 0 {
		return nil, err
	}
	return func(text string) string {
		for _, step := range n.steps {
			text = step(text)
		}
		return text
	}, nil
}

// normalizers are steps that change a text before it is split.
type normalizers struct {
	steps  []func(string) string
	growth int // how many times longer a text can become
}

// maxGrowth bounds what normalizers may make of a text: a few doublings in a row
// would make a bomb of it.
const maxGrowth = 16

func (n *normalizers) read(v any) error {
	kind, o, ok, err := part(v)
	if err != nil || !ok {
		return err
	}
	switch kind {
	case "Sequence":
		list, err := o.list("normalizers")
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := n.read(e); err != nil {
				return err
			}
		}
		return nil
	case "NFC":
		return n.add(1, maxNFC, nfc)
	case "Prepend":
		prefix, err := o.string("prepend", "")
		if err != nil {
			return err
		}
		return n.add(1, len(prefix), func(text string) string {
			if text == "" {
				return ""
			}
			return prefix + text
		})
	case "Replace":
		pattern, _ := o["pattern"].(object)
		old, ok := pattern["String"].(string)
		if !ok || old == "" {
			return errorf("a Replace of something else than a string is not supported")
		}
		content, err := o.string("content", "")
		if err != nil {
			return err
		}
		return n.add(len(old), len(content), func(text string) string { return strings.ReplaceAll(text, old, content) })
	}
	return unsupported(kind, "Sequence, Prepend, Replace, NFC")
}

// add appends a step that makes at most to bytes of from.
func (n *normalizers) add(from, to int, step func(string) string) error {
	n.steps = append(n.steps, step)
	n.growth *= max(1, (to+from-1)/from)
	if n.growth > maxGrowth || len(n.steps) > maxGrowth {
		return errorf("normalizers can make a text %d times longer in %d steps, at most %d is supported", n.growth, len(n.steps), maxGrowth)
	}
	return nil
}
