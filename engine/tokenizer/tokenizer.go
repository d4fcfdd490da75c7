package tokenizer

import "maps"

// Kind names the family of a vocabulary.
type Kind string

const (
	BPE           Kind = "bpe"           // byte-level BPE
	SentencePiece Kind = "sentencepiece" // BPE over characters, spaces written as U+2581
)

// Limits on what a vocabulary may hold.
const (
	maxVocab      = 1 << 20  // tokens, and merges
	maxToken      = 4 << 10  // bytes of one token
	maxTokenBytes = 64 << 20 // bytes of all tokens
)

// Tokenizer is a vocabulary with its rules. It is immutable and safe for
// concurrent use.
type Tokenizer struct {
	kind               Kind
	tokens             []token // by id; a hole has no text
	bos, eos, pad, unk int
	addBOS             bool
	specials           map[string]int

	added      *addedTokens            // looked for in the text as it is
	normalize  func(run string) string // nil: identity
	normAdded  *addedTokens            // looked for in normalized runs
	encodeText textEncoder
	decode     decodeRule
}

// token is one entry of the vocabulary.
type token struct {
	text   string // as the file writes it
	bytes  string // what it stands for in a decoded text
	silent bool   // not shown in a decoded text
	isByte bool   // one byte of a character (SentencePiece)
}

// textEncoder turns ordinary text into ids. first says that the text is the start
// of the whole input.
type textEncoder func(dst []int32, text string, first bool, s *scratch) []int32

// Kind returns the family of the vocabulary.
func (t *Tokenizer) Kind() Kind { return t.kind }

// Size returns the number of ids, holes included.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// BOS returns the id that begins a text, -1: none.
func (t *Tokenizer) BOS() int { return t.bos }

// EOS returns the id that ends a text, -1: none.
func (t *Tokenizer) EOS() int { return t.eos }

// Pad returns the padding id, -1: none.
func (t *Tokenizer) Pad() int { return t.pad }

// UNK returns the id of what is not in the vocabulary, -1: none.
func (t *Tokenizer) UNK() int { return t.unk }

// AddBOS reports whether the vocabulary wants one BOS before a prompt.
func (t *Tokenizer) AddBOS() bool { return t.addBOS && t.bos >= 0 }

// Specials returns the special (control) tokens by text.
func (t *Tokenizer) Specials() map[string]int { return maps.Clone(t.specials) }

// Encode returns the ids of text. It adds neither BOS nor EOS. special says
// which special-token texts are parsed as their tokens.
func (t *Tokenizer) Encode(text string, special Special) []int32 {
	var s scratch
	ids := make([]int32, 0, len(text)/4+8)
	return t.appendText(ids, text, special, &s)
}

func (t *Tokenizer) appendText(ids []int32, text string, special Special, s *scratch) []int32 {
	token := func(id int32) { ids = append(ids, id) }
	t.added.split(text, special, func(run string, start int) {
		if t.normalize != nil {
			run = t.normalize(run)
		}
		t.normAdded.split(run, special, func(part string, offset int) {
			ids = t.encodeText(ids, part, start+offset == 0, s)
		}, token)
	}, token)
	return ids
}

// Bytes returns the bytes that an id stands for: of a token that is part of a
// character, just that part. An id outside the vocabulary stands for nothing.
func (t *Tokenizer) Bytes(id int32) []byte {
	if id < 0 || int(id) >= len(t.tokens) {
		return nil
	}
	return []byte(t.tokens[id].bytes)
}

// checkSizes refuses a vocabulary beyond the limits. text returns the text of the
// i-th of n tokens.
func checkSizes(n int, text func(i int) string) error {
	if n == 0 {
		return errorf("the vocabulary is empty")
	}
	if n > maxVocab {
		return errorf("the vocabulary has %d tokens, at most %d are supported", n, maxVocab)
	}
	total := 0
	for i := range n {
		k := len(text(i))
		if k > maxToken {
			return errorf("token %d has %d bytes, at most %d are supported", i, k, maxToken)
		}
		if total += k; total > maxTokenBytes {
			return errorf("the tokens up to %d have %d bytes, at most %d are supported", i, total, maxTokenBytes)
		}
	}
	return nil
}
