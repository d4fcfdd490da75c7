package tokenizer

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
