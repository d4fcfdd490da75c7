package tokenizer

// Kind names the family of a vocabulary.
type Kind string

const (
	BPE           Kind = "bpe"           // byte-level BPE
	SentencePiece Kind = "sentencepiece" // SentencePiece BPE with byte fallback
)

// Tokenizer is a vocabulary with its rules. It is immutable and safe for
// concurrent use.
type Tokenizer struct {
	kind               Kind
	bos, eos, pad, unk int
	addBOS             bool
}

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

func FromGGUF(v GGUFVocab) (*Tokenizer, error)                   { return nil, errorf("not yet") }
func FromJSON(data []byte) (*Tokenizer, error)                   { return nil, errorf("not yet") }
func FromModel(data []byte) (*Tokenizer, error)                  { return nil, errorf("not yet") }
func FromBytes(data []byte) (*Tokenizer, error)                  { return nil, errorf("not yet") }
func (t *Tokenizer) Kind() Kind                                  { return t.kind }
func (t *Tokenizer) Size() int                                   { return 0 }
func (t *Tokenizer) BOS() int                                    { return t.bos }
func (t *Tokenizer) EOS() int                                    { return t.eos }
func (t *Tokenizer) Pad() int                                    { return t.pad }
func (t *Tokenizer) UNK() int                                    { return t.unk }
func (t *Tokenizer) AddBOS() bool                                { return t.addBOS }
func (t *Tokenizer) Specials() map[string]int                    { return nil }
func (t *Tokenizer) Encode(text string, special Special) []int32 { return nil }
func (t *Tokenizer) Decode(ids []int32) string                   { return "" }
func (t *Tokenizer) Piece(id int32) string                       { return "" }
func (t *Tokenizer) Bytes(id int32) []byte                       { return nil }

// Special says which special-token texts Encode parses.
type Special struct {
	all bool
	set map[string]bool
}

var (
	NoSpecial  = Special{}          // special-token text is ordinary text
	AllSpecial = Special{all: true} // every special-token text is its token
)

// SpecialSet parses the given special-token texts only.
func SpecialSet(texts ...string) Special {
	s := Special{set: make(map[string]bool, len(texts))}
	for _, t := range texts {
		s.set[t] = true
	}
	return s
}

// Stream decodes ids one by one.
type Stream struct{}

func (t *Tokenizer) NewStream() *Stream { return &Stream{} }
func (s *Stream) Add(id int32) string   { return "" }
func (s *Stream) Flush() string         { return "" }
