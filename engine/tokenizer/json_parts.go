package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The parts of a tokenizer.json around its model. What is not one of the forms
// that Llama's family uses is refused by its name: to pass over a part would
// give other tokens without a word.

// part reads the type of a part and its object; ok is false for null.
func part(v any) (kind string, o object, ok bool, err error) {
	if v == nil {
		return "", nil, false, nil
	}
	o, isObject := v.(object)
	if !isObject {
		return "", nil, false, errorf("found %s, expected an object", clipValue(v))
	}
	kind, err = o.string("type", "")
	return kind, o, true, err
}

func unsupported(kind, supported string) *Error {
	return errorf("type %q is not supported (only %s)", clip(kind), supported)
}

// preTokenizer is a pre-tokenizer as stages.
type preTokenizer struct {
	stages    []stage
	byteLevel bool
}

func readPreTokenizer(v any) (p preTokenizer, err error) {
	err = p.read(v)
	return p, err
}

func (p *preTokenizer) read(v any) error {
	kind, o, ok, err := part(v)
	if err != nil || !ok {
		return err
	}
	if p.byteLevel {
		return errorf("%q comes after ByteLevel, which must be last", clip(kind))
	}
	switch kind {
	case "Sequence":
		list, err := o.list("pretokenizers")
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := p.read(e); err != nil {
				return err
			}
		}
		return nil
	case "ByteLevel":
		return p.readByteLevel(o)
	case "Split":
		return p.readSplit(o)
	case "Digits":
		individual, err := o.bool("individual_digits", false)
		p.stages = append(p.stages, digits(individual))
		return err
	case "Metaspace":
		return p.readMetaspace(o)
	}
	return unsupported(kind, "Sequence, Split, ByteLevel, Digits, Metaspace")
}

func (p *preTokenizer) readByteLevel(o object) error {
	prefix, err := o.bool("add_prefix_space", true)
	if err != nil {
		return err
	}
	regex, err := o.bool("use_regex", true)
	if err != nil {
		return err
	}
	next := chain(nil)
	if regex {
		next = splitBy(nextGPT2)
	}
	if prefix {
		next = spacePrefix(next)
	}
	p.stages = append(p.stages, next)
	p.byteLevel = true
	return nil
}

// readSplit knows patterns that match everything, so it does not matter what
// becomes of the text between matches.
func (p *preTokenizer) readSplit(o object) error {
	pattern, _ := o["pattern"].(object)
	regex, ok := pattern["Regex"].(string)
	if !ok {
		return errorf("a Split by something else than a regular expression is not supported")
	}
	next, ok := splitters[regex]
	if !ok {
		return errorf("the split pattern %q is not known", regex).
			hint("patterns are coded by hand to be exact; known are those of GPT-2, Llama 3 and Qwen2")
	}
	behavior, err := o.string("behavior", "")
	if err != nil {
		return err
	}
	invert, err := o.bool("invert", false)
	if err != nil {
		return err
	}
	if behavior != "Isolated" && !(behavior == "Removed" && invert) {
		return errorf("a Split with behavior %q and invert %v is not supported (only Isolated)", clip(behavior), invert)
	}
	p.stages = append(p.stages, splitBy(next))
	return nil
}

func (p *preTokenizer) readMetaspace(o object) error {
	mark, err := o.string("replacement", spaceMark)
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(mark) != 1 {
		return errorf("Metaspace replaces spaces by %q, expected one character", clip(mark))
	}
	split, err := o.bool("split", true)
	if err != nil {
		return err
	}
	scheme, err := metaspaceScheme(o)
	p.stages = append(p.stages, metaspace(mark, scheme, split))
	return err
}

// metaspaceScheme reads prepend_scheme, or add_prefix_space of older files.
func metaspaceScheme(o object) (prependScheme, error) {
	scheme, err := o.string("prepend_scheme", "")
	if err != nil {
		return 0, err
	}
	switch scheme {
	case "always":
		return prependAlways, nil
	case "first":
		return prependFirst, nil
	case "never":
		return prependNever, nil
	case "":
		if add, err := o.bool("add_prefix_space", true); !add || err != nil {
			return prependNever, err
		}
		return prependAlways, nil
	}
	return 0, errorf("Metaspace has prepend_scheme %q, expected always, first or never", clip(scheme))
}

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
	return unsupported(kind, "Sequence, Prepend, Replace")
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

// readPostProcessor learns from a template what goes before a text. It changes no
// ids: Encode adds nothing.
func (t *Tokenizer) readPostProcessor(v any) error {
	kind, o, ok, err := part(v)
	if err != nil || !ok {
		return err
	}
	switch kind {
	case "ByteLevel": // offsets only
		return nil
	case "Sequence":
		list, err := o.list("processors")
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := t.readPostProcessor(e); err != nil {
				return err
			}
		}
		return nil
	case "TemplateProcessing":
		return t.readTemplate(o)
	}
	return unsupported(kind, "Sequence, ByteLevel, TemplateProcessing")
}

func (t *Tokenizer) readTemplate(o object) error {
	list, err := o.list("single")
	if err != nil {
		return err
	}
	before := true
	for i, e := range list {
		piece, _ := e.(object)
		if _, ok := piece["Sequence"]; ok {
			before = false
			continue
		}
		special, _ := piece["SpecialToken"].(object)
		text, _ := special["id"].(string)
		id, ok := t.specials[text]
		if !ok {
			return errorf("part %d of the template is %q, which is no special token", i, clip(text))
		}
		if before && !t.addBOS {
			t.bos, t.addBOS = id, true
		} else if !before {
			t.eos = id
		}
	}
	return nil
}

// guessSpecials names the tokens that no part of the file names, by the texts
// that Llama's family gives them. The checkpoint's own configuration, where there
// is one, knows better.
func (t *Tokenizer) guessSpecials() {
	for _, g := range []struct {
		to    *int
		texts []string
	}{
		{&t.bos, []string{"<|begin_of_text|>", "<s>"}},
		{&t.eos, []string{"<|end_of_text|>", "</s>", "<|im_end|>", "<|endoftext|>"}},
		{&t.unk, []string{"<unk>"}},
		{&t.pad, []string{"<|finetune_right_pad_id|>", "<pad>"}},
	} {
		for _, text := range g.texts {
			if id, ok := t.specials[text]; ok && *g.to < 0 {
				*g.to = id
			}
		}
	}
}

// readDecoder sets what ids decode to.
func (t *Tokenizer) readDecoder(v any) error {
	kind, o, ok, err := part(v)
	if err != nil {
		return err
	}
	if t.kind == BPE {
		if ok && kind != "ByteLevel" {
			return unsupported(kind, "ByteLevel, since the pre_tokenizer is")
		}
		return nil
	}
	steps := []any{v}
	if kind == "Sequence" {
		if steps, err = o.list("decoders"); err != nil {
			return err
		}
	} else if !ok {
		steps = nil
	}
	d := decodeRule{bytePieces: true}
	spaces, fused, fallback := "", false, false
	for _, step := range steps {
		kind, o, _, err := part(step)
		if err != nil {
			return err
		}
		switch kind {
		case "Replace":
			pattern, _ := o["pattern"].(object)
			if pattern["String"] != spaceMark || o["content"] != " " {
				return errorf("a Replace of something else than %q by a space is not supported", spaceMark)
			}
			spaces = spaceMark
		case "Metaspace":
			if spaces, err = o.string("replacement", spaceMark); err != nil {
				return err
			}
			scheme, err := metaspaceScheme(o)
			if err != nil {
				return err
			}
			if scheme != prependNever {
				d.strip, d.mark = stripMarks, spaces
			}
		case "ByteFallback":
			fallback = true
		case "Fuse":
			fused = true
		case "Strip":
			if !fused {
				return errorf("a Strip of each token (without Fuse before it) is not supported")
			}
			if o["content"] != " " || o["start"] != jsonNumber("1") || o["stop"] != jsonNumber("0") {
				return errorf("a Strip of something else than one leading space is not supported")
			}
			d.strip = stripText
		default:
			return unsupported(kind, "Sequence, Replace, Metaspace, ByteFallback, Fuse, Strip")
		}
	}
	t.decode = d
	for i := range t.tokens {
		tok := &t.tokens[i]
		if b, ok := byteOf(tok.text); ok && fallback {
			tok.bytes, tok.isByte = string([]byte{b}), true
		} else if tok.bytes = tok.text; spaces != "" {
			tok.bytes = strings.ReplaceAll(tok.text, spaces, " ")
		}
	}
	return nil
}
