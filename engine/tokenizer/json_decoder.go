package tokenizer

import "strings"

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
