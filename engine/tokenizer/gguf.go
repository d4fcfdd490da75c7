package tokenizer

// GGUFVocab is the tokenizer.ggml.* part of a GGUF file.
type GGUFVocab struct {
	Model          string // "gpt2", "llama"
	Pre            string // "smollm", "gpt-2", …
	Tokens         []string
	Scores         []float32
	Types          []int32 // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
	Merges         []string
	BOS, EOS, UNK  int // -1: none
	AddBOS, AddEOS bool
	AddSpacePrefix bool
}

// Token types of GGUF and SentencePiece.
const (
	typeNormal      = 1
	typeUnknown     = 2
	typeControl     = 3
	typeUserDefined = 4
	typeUnused      = 5
	typeByte        = 6
)

// FromGGUF makes the tokenizer of a GGUF file: kind gpt2 is byte-level BPE, kind
// llama is SentencePiece.
func FromGGUF(v GGUFVocab) (*Tokenizer, error) {
	if err := checkSizes(len(v.Tokens), func(i int) string { return v.Tokens[i] }); err != nil {
		return nil, err
	}
	if len(v.Types) != 0 && len(v.Types) != len(v.Tokens) {
		return nil, errorf("tokenizer.ggml.token_type has %d entries, tokenizer.ggml.tokens %d", len(v.Types), len(v.Tokens))
	}
	for _, f := range []struct {
		name string
		id   int
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"unknown", v.UNK}} {
		if f.id < -1 || f.id >= len(v.Tokens) {
			return nil, errorf("tokenizer.ggml.%s_token_id is %d, the vocabulary has %d tokens", f.name, f.id, len(v.Tokens))
		}
	}
	switch v.Model {
	case "gpt2":
		return ggufBPE(v)
	case "llama":
		return ggufSentencePiece(v)
	}
	return nil, errorf("tokenizer.ggml.model is %q, expected gpt2 or llama", clip(v.Model)).
		hint("unigram (t5), wordpiece (bert) and rwkv vocabularies are not supported")
}

// ggufStages are the pre-tokenizers by tokenizer.ggml.pre (llama.cpp's names).
func ggufStages(pre string) ([]stage, error) {
	switch pre {
	case "smollm":
		return []stage{digits(true), splitBy(nextGPT2)}, nil
	case "gpt-2", "gpt2":
		return []stage{splitBy(nextGPT2)}, nil
	case "llama-bpe", "llama3", "llama-v3":
		return []stage{splitBy(splitters[patternLl3])}, nil
	case "qwen2":
		return []stage{splitBy(splitters[patternQwen])}, nil
	case "":
		return nil, errorf("tokenizer.ggml.pre is missing, so how text is split into words is not known").
			hint("convert the model again with a current convert_hf_to_gguf.py")
	}
	return nil, errorf("tokenizer.ggml.pre is %q, expected smollm, gpt-2, llama-bpe or qwen2", clip(pre))
}

func ggufBPE(v GGUFVocab) (*Tokenizer, error) {
	stages, err := ggufStages(v.Pre)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]int32, len(v.Tokens))
	for i, text := range v.Tokens {
		ids[text] = int32(i)
	}
	b := &bpe{unk: -1, ignoreMerges: v.Pre != "smollm" && v.Pre != "gpt-2" && v.Pre != "gpt2" && v.Pre != "qwen2"}
	var left, right string
	var bad error
	err = b.addMerges(len(v.Merges), func(i int) (string, string) {
		var err error
		if left, right, err = splitMerge(i, v.Merges[i]); err != nil && bad == nil {
			bad = err
		}
		return left, right
	}, ids)
	if bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{
		kind: BPE, bos: v.BOS, eos: v.EOS, pad: -1, unk: v.UNK, addBOS: v.AddBOS,
		tokens: make([]token, len(v.Tokens)), specials: map[string]int{},
	}
	for i, text := range v.Tokens {
		t.tokens[i].text = text
	}
	t.useByteLevel(b, ids, stages)
	var added []addedToken
	var texts []string
	for i, kind := range v.Types {
		text := v.Tokens[i]
		if kind != typeControl && kind != typeUserDefined || text == "" {
			continue
		}
		added = append(added, addedToken{id: int32(i), text: text, special: kind == typeControl})
		texts = append(texts, text)
		if kind == typeControl {
			t.specials[text] = i
		}
	}
	if t.added, err = newAdded(added, texts); err != nil {
		return nil, err
	}
	return t, nil
}

// useByteLevel makes t a byte-level BPE tokenizer. ids are the vocabulary by mapped
// text.
func (t *Tokenizer) useByteLevel(b *bpe, ids map[string]int32, stages []stage) {
	b.byteLevel = true
	if b.ignoreMerges {
		b.ids = make(map[string]int32, len(ids))
	}
	for i := range b.bytes {
		b.bytes[i] = -1
		if id, ok := ids[string(byteToRune[i])]; ok {
			b.bytes[i] = id
		}
	}
	for i := range t.tokens {
		tok := &t.tokens[i]
		raw, ok := unmapBytes(tok.text)
		if !ok {
			raw = tok.text // the decoder takes such a token's text as it is
		} else if b.ignoreMerges && raw != "" && ids[tok.text] == int32(i) {
			b.ids[raw] = int32(i)
		}
		tok.bytes = raw
	}
	words := chain(stages)
	t.encodeText = func(dst []int32, text string, first bool, s *scratch) []int32 {
		words(text, first, func(word string, _ bool) { dst = b.encode(dst, word, s) })
		return dst
	}
}
