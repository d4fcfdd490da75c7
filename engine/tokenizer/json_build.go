package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
)

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
