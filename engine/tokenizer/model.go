package tokenizer

import "fmt"

// Field numbers are those of google/sentencepiece src/sentencepiece_model.proto.

// spmFile is what a tokenizer.model says.
type spmFile struct {
	pieces     []piece
	trainer    spmTrainer
	normalizer spmNormalizer
	hasTrainer bool
}

type spmTrainer struct {
	modelType          int32
	byteFallback       bool
	spaceAsSuffix      bool
	unk, bos, eos, pad int32
	unkSurface         string
}

type spmNormalizer struct {
	name         string
	charsmap     []byte
	dummyPrefix  bool
	removeExtra  bool
	escapeSpaces bool
}

// Model types of TrainerSpec.
var modelTypes = map[int32]string{1: "UNIGRAM", 2: "BPE", 3: "WORD", 4: "CHAR"}

// FromModel makes the tokenizer of a tokenizer.model file: SentencePiece BPE.
func FromModel(data []byte) (*Tokenizer, error) {
	switch f := Detect(data); f {
	case FormatTiktoken:
		return nil, errTiktoken()
	case FormatJSON:
		return nil, errorf("this is JSON, expected a SentencePiece model").hint("a tokenizer.json is read by its own reader")
	}
	f, err := parseModel(data)
	if err != nil {
		return nil, err
	}
	if t := f.trainer.modelType; t != 2 {
		name, ok := modelTypes[t]
		if !ok {
			name = fmt.Sprintf("type %d", t)
		}
		return nil, errorf("the SentencePiece model is %s, only BPE is supported", name).
			hint("Llama's own models are BPE; use a model with a BPE or byte-level BPE tokenizer")
	}
	if n := len(f.normalizer.charsmap); n > 0 {
		return nil, errorf("the SentencePiece model normalizes text with %q (%d bytes of rules), only identity is supported", clip(f.normalizer.name), n)
	}
	if f.trainer.spaceAsSuffix {
		return nil, errorf("the SentencePiece model treats white space as a suffix, which is not supported")
	}
	if err := checkSizes(len(f.pieces), func(i int) string { return f.pieces[i].text }); err != nil {
		return nil, err
	}
	unk := -1
	for i, p := range f.pieces {
		if p.kind == typeUnknown {
			if unk >= 0 {
				return nil, errorf("pieces %d and %d are both the unknown token", unk, i)
			}
			unk = i
		}
	}
	if unk < 0 {
		return nil, errorf("the SentencePiece model has no unknown token among its %d pieces", len(f.pieces))
	}
	t, err := newSentencePiece(f.pieces, spmSpec{
		unk: unk, dummyPrefix: f.normalizer.dummyPrefix, removeExtraSpaces: f.normalizer.removeExtra,
		keepSpaces: !f.normalizer.escapeSpaces, unkSurface: f.trainer.unkSurface,
		fromModel: true, byteFallback: f.trainer.byteFallback,
	})
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		to   *int
		name string
		id   int32
	}{{&t.bos, "bos", f.trainer.bos}, {&t.eos, "eos", f.trainer.eos}, {&t.pad, "pad", f.trainer.pad}} {
		if s.id >= int32(len(f.pieces)) {
			return nil, errorf("%s_id is %d, the model has %d pieces", s.name, s.id, len(f.pieces))
		}
		*s.to = int(max(s.id, -1))
	}
	t.addBOS = t.bos >= 0 // Meta's code puts it before every prompt
	return t, nil
}

func parseModel(data []byte) (*spmFile, error) {
	f := &spmFile{
		trainer:    spmTrainer{modelType: 1, unk: 0, bos: 1, eos: 2, pad: -1, unkSurface: defaultUnkSurface},
		normalizer: spmNormalizer{dummyPrefix: true, removeExtra: true, escapeSpaces: true},
	}
	err := fields(data, func(p protoField) error {
		switch p.num {
		case 1:
			if len(f.pieces) == maxVocab {
				return errorf("the model has more than %d pieces", maxVocab)
			}
			x := piece{kind: typeNormal}
			if err := p.want(2); err != nil {
				return err
			}
			if err := fields(p.data, x.field); err != nil {
				return fmt.Errorf("piece %d: %w", len(f.pieces), err)
			}
			f.pieces = append(f.pieces, x)
		case 2:
			f.hasTrainer = true
			if err := p.want(2); err != nil {
				return err
			}
			return fields(p.data, f.trainer.field)
		case 3:
			if err := p.want(2); err != nil {
				return err
			}
			return fields(p.data, f.normalizer.field)
		}
		return nil
	})
	if err != nil {
		return nil, &Error{Msg: "not a SentencePiece model", Err: err, Hint: "the file is damaged or of another kind; download it again"}
	}
	if len(f.pieces) == 0 {
		return nil, errorf("not a SentencePiece model: no pieces in %d bytes", len(data))
	}
	if !f.hasTrainer {
		return nil, errorf("the SentencePiece model has no trainer spec, so its kind (BPE, UNIGRAM) is not known")
	}
	return f, nil
}

func (x *piece) field(p protoField) error {
	switch p.num {
	case 1:
		return p.string(&x.text)
	case 2:
		return p.float(&x.score)
	case 3:
		return p.int32(&x.kind)
	}
	return nil
}

func (t *spmTrainer) field(p protoField) error {
	switch p.num {
	case 3:
		return p.int32(&t.modelType)
	case 24:
		return p.bool(&t.spaceAsSuffix)
	case 35:
		return p.bool(&t.byteFallback)
	case 40:
		return p.int32(&t.unk)
	case 41:
		return p.int32(&t.bos)
	case 42:
		return p.int32(&t.eos)
	case 43:
		return p.int32(&t.pad)
	case 44:
		return p.string(&t.unkSurface)
	}
	return nil
}

func (n *spmNormalizer) field(p protoField) error {
	switch p.num {
	case 1:
		return p.string(&n.name)
	case 2:
		return p.bytes(&n.charsmap)
	case 3:
		return p.bool(&n.dummyPrefix)
	case 4:
		return p.bool(&n.removeExtra)
	case 5:
		return p.bool(&n.escapeSpaces)
	}
	return nil
}
