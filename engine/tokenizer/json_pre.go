package tokenizer

import "unicode/utf8"

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
