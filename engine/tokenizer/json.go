package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
)

// jsonFile is a tokenizer.json as it was read.
type jsonFile struct {
	model         jsonModel
	added         []addedToken
	normalizer    any
	preTokenizer  any
	postProcessor any
	decoder       any
}

// jsonModel is its BPE model.
type jsonModel struct {
	vocab  map[string]int32
	texts  []string // by id; a hole is ""
	merges [][2]string
	rest   object // the small members
	seen   bool
}

// FromJSON makes the tokenizer of a tokenizer.json file: BPE, byte-level or of
// the SentencePiece kind.
func FromJSON(data []byte) (*Tokenizer, error) {
	f, err := parseJSON(data)
	if err != nil {
		return nil, &Error{Msg: "tokenizer.json", Err: err}
	}
	t, err := f.build()
	if err != nil {
		return nil, &Error{Msg: "tokenizer.json", Err: err}
	}
	return t, nil
}

func parseJSON(data []byte) (*jsonFile, error) {
	f := &jsonFile{}
	s := &scanner{data: string(data)}
	seen := map[string]bool{}
	s.object(func(key string) {
		if seen[key] {
			s.fail("key %q occurs twice", clip(key))
		}
		seen[key] = true
		switch key {
		case "model":
			f.model.read(s)
		case "added_tokens":
			if !s.null() {
				s.array(func() { f.addToken(s) })
			}
		case "normalizer":
			f.normalizer = s.value()
		case "pre_tokenizer":
			f.preTokenizer = s.value()
		case "post_processor":
			f.postProcessor = s.value()
		case "decoder":
			f.decoder = s.value()
		default:
			s.value() // version, truncation, padding
		}
	})
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	if !f.model.seen {
		return nil, errorf("no \"model\": this is not a tokenizer file")
	}
	return f, nil
}

func (m *jsonModel) read(s *scanner) {
	m.seen, m.rest = true, object{}
	s.object(func(key string) {
		if _, ok := m.rest[key]; ok {
			s.fail("key %q occurs twice", clip(key))
			return
		}
		m.rest[key] = true
		switch key {
		case "vocab":
			if s.peek() == '{' {
				m.readVocab(s)
				return
			}
		case "merges":
			m.readMerges(s)
			return
		}
		m.rest[key] = s.value()
	})
}

func (m *jsonModel) readVocab(s *scanner) {
	m.vocab = make(map[string]int32)
	s.object(func(text string) {
		id := s.int()
		switch {
		case s.err != nil:
			return
		case id < 0 || id >= maxVocab:
			s.fail("token %q has id %d, at most %d tokens are supported", clip(text), id, maxVocab)
			return
		case len(text) > maxToken:
			s.fail("token %d has %d bytes, at most %d are supported", id, len(text), maxToken)
			return
		}
		if _, ok := m.vocab[text]; ok {
			s.fail("token %q occurs twice", clip(text))
			return
		}
		m.vocab[text] = int32(id)
		for len(m.texts) <= id {
			m.texts = append(m.texts, "")
		}
		if m.texts[id] != "" {
			s.fail("tokens %q and %q both have id %d", clip(m.texts[id]), clip(text), id)
		}
		m.texts[id] = text
	})
}

func (m *jsonModel) readMerges(s *scanner) {
	s.array(func() {
		if len(m.merges) == maxVocab {
			s.fail("more than %d merges", maxVocab)
			return
		}
		var pair [2]string
		if s.peek() == '"' {
			var err error
			line := s.string()
			if pair[0], pair[1], err = splitMerge(len(m.merges), line); err != nil && s.err == nil {
				s.err = err
			}
		} else {
			n := 0
			s.array(func() {
				if n == 2 {
					s.fail("merge %d has more than two parts", len(m.merges))
					return
				}
				pair[n] = s.string()
				n++
			})
			if n != 2 {
				s.fail("merge %d has %d parts, expected 2", len(m.merges), n)
			}
		}
		m.merges = append(m.merges, pair)
	})
}

func (f *jsonFile) addToken(s *scanner) {
	if len(f.added) == maxVocab {
		s.fail("more than %d added tokens", maxVocab)
		return
	}
	t := addedToken{id: -1, normalized: true}
	seen := object{}
	s.object(func(key string) {
		if _, ok := seen[key]; ok {
			s.fail("key %q occurs twice", clip(key))
			return
		}
		seen[key] = true
		switch key {
		case "id":
			t.id = int32(s.int())
		case "content":
			t.text = s.string()
		case "single_word":
			t.singleWord = s.bool()
		case "lstrip":
			t.lstrip = s.bool()
		case "rstrip":
			t.rstrip = s.bool()
		case "normalized":
			t.normalized = s.bool()
		case "special":
			t.special = s.bool()
		default:
			s.value()
		}
	})
	if s.err == nil && (t.id < 0 || t.id >= maxVocab || len(t.text) > maxToken) {
		s.fail("added token %q has id %d, expected 0 to %d and at most %d bytes", clip(t.text), t.id, maxVocab-1, maxToken)
	}
	f.added = append(f.added, t)
}

// build makes the tokenizer of a file that was read.
func (f *jsonFile) build() (*Tokenizer, error) {
	b, err := f.model.bpe()
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	pre, err := readPreTokenizer(f.preTokenizer)
	if err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	normalize, err := readNormalizer(f.normalizer)
	if err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	t := &Tokenizer{kind: SentencePiece, bos: -1, eos: -1, pad: -1, unk: int(b.unk), normalize: normalize, specials: map[string]int{}}
	texts := slices.Clone(f.model.texts)
	if err := f.placeAdded(t, &texts); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if err := checkSizes(len(texts), func(i int) string { return texts[i] }); err != nil {
		return nil, err
	}
	t.tokens = make([]token, len(texts))
	for i, text := range texts {
		t.tokens[i] = token{text: text}
	}
	if pre.byteLevel {
		t.kind = BPE
		t.useByteLevel(b, f.model.vocab, pre.stages)
	} else {
		t.useChars(b, f.model.vocab, pre.stages)
	}
	if err := t.readDecoder(f.decoder); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	if err := t.readPostProcessor(f.postProcessor); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	t.guessSpecials()
	return t, nil
}

// bpe makes the model proper.
func (m *jsonModel) bpe() (*bpe, error) {
	kind, err := m.rest.string("type", "BPE")
	if err != nil {
		return nil, err
	}
	if kind != "BPE" {
		return nil, errorf("it is of type %q, only BPE is supported", clip(kind))
	}
	if len(m.vocab) == 0 {
		return nil, errorf("the vocabulary is empty")
	}
	if v, ok := m.rest["dropout"].(jsonNumber); ok && v != "0" && v != "0.0" {
		return nil, errorf("dropout is %s, only null is supported: tokens would be random", clip(string(v)))
	}
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if v, err := m.rest.string(key, ""); err != nil {
			return nil, err
		} else if v != "" {
			return nil, errorf("%s is %q, only none is supported", key, clip(v))
		}
	}
	b := &bpe{unk: -1}
	for _, f := range []struct {
		key string
		to  *bool
	}{{"fuse_unk", &b.fuseUnk}, {"byte_fallback", &b.byteFallback}, {"ignore_merges", &b.ignoreMerges}} {
		if *f.to, err = m.rest.bool(f.key, false); err != nil {
			return nil, err
		}
	}
	unk, err := m.rest.string("unk_token", "")
	if err != nil {
		return nil, err
	}
	if unk != "" {
		id, ok := m.vocab[unk]
		if !ok {
			return nil, errorf("unk_token %q is not in the vocabulary", clip(unk))
		}
		b.unk = id
	}
	return b, b.addMerges(len(m.merges), func(i int) (string, string) { return m.merges[i][0], m.merges[i][1] }, m.vocab)
}

// placeAdded puts added tokens into the vocabulary and makes their matchers. A
// token that the model has keeps the model's id.
func (f *jsonFile) placeAdded(t *Tokenizer, texts *[]string) error {
	var plain, normalized []addedToken
	var plainTexts, normalizedTexts []string
	byText := map[string]int{}
	slices.SortStableFunc(f.added, func(a, b addedToken) int { return cmp.Compare(a.id, b.id) })
	for _, a := range f.added {
		if a.text == "" {
			continue
		}
		if id, ok := f.model.vocab[a.text]; ok {
			a.id = id
		}
		if _, ok := byText[a.text]; ok {
			return errorf("%q occurs twice", clip(a.text))
		}
		byText[a.text] = int(a.id)
		for int(a.id) >= len(*texts) {
			*texts = append(*texts, "")
		}
		if old := (*texts)[a.id]; old != "" && old != a.text {
			return errorf("%q and %q both have id %d", clip(old), clip(a.text), a.id)
		}
		(*texts)[a.id] = a.text
		if a.special {
			t.specials[a.text] = int(a.id)
		}
		if !a.normalized {
			plain, plainTexts = append(plain, a), append(plainTexts, a.text)
			continue
		}
		text := a.text
		if t.normalize != nil {
			text = t.normalize(text)
			(*texts)[a.id] = text // this is what it decodes to, in `tokenizers` 0.23
		}
		if text != "" {
			normalized, normalizedTexts = append(normalized, a), append(normalizedTexts, text)
		}
	}
	var err error
	if t.added, err = newAdded(plain, plainTexts); err != nil {
		return err
	}
	t.normAdded, err = newAdded(normalized, normalizedTexts)
	return err
}

// useChars makes t a BPE tokenizer over characters.
func (t *Tokenizer) useChars(b *bpe, ids map[string]int32, stages []stage) {
	b.ids = ids
	for i := range b.bytes {
		b.bytes[i] = -1
		if id, ok := ids[fmt.Sprintf("<0x%02X>", i)]; ok {
			b.bytes[i] = id
		}
	}
	words := chain(stages)
	t.encodeText = func(dst []int32, text string, first bool, s *scratch) []int32 {
		words(text, first, func(word string, _ bool) { dst = b.encode(dst, word, s) })
		return dst
	}
}
