package weights

import "sync/atomic"

// DType is the stored type of a tensor. A block type holds BlockSize elements
// in BlockBytes bytes; the others hold one.
type DType uint8

// The types that engines compute from as they are stored. GGUF block layouts
// are ggml's (ggml/src/ggml-common.h): Q8_0 f16 d + 32 int8; Q4_0 f16 d + 16
// bytes; Q4_1 f16 d, f16 m + 16 bytes; a byte of Q4 holds element i in its low
// and element i+16 in its high nibble; Q5_0 and Q5_1 have 32 more bits before
// the bytes. Q4_K, Q5_K and Q6_K hold 256 elements under scales of two levels:
// package simd/pure has their formulas.
const (
	F32 DType = iota + 1
	F16
	BF16
	Q8_0
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q4_K
	Q5_K
	Q6_K
)

type dtypeInfo struct {
	name              string
	blockSize, nbytes int
}

var dtypes = [...]dtypeInfo{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2},
	Q8_0: {"Q8_0", 32, 34}, Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20},
	Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210},
}

func (d DType) String() string {
	if d == 0 || int(d) >= len(dtypes) {
		return "unknown type"
	}
	return dtypes[d].name
}

// BlockSize is the number of elements that are stored together.
func (d DType) BlockSize() int { return dtypes[d].blockSize }

// BlockBytes is the number of bytes that a block takes.
func (d DType) BlockBytes() int { return dtypes[d].nbytes }

// View is a tensor as it lies in the file: typed, never converted. Data belongs
// to the Source and dies with its Close.
type View struct {
	Name  string // the name in the file, for messages
	DType DType
	Shape []int  // outermost first: a weight matrix is (out, in)
	Data  []byte // little-endian
}

// QKOrder says how the rows of a head's Q and K projections pair for RoPE.
type QKOrder uint8

const (
	// Halves pairs row i with row i + headDim/2, as Hugging Face files do.
	Halves QKOrder = iota
	// Interleaved pairs rows 2i and 2i+1, as Meta's and GGUF's llama files do.
	Interleaved
)

// Source hands out a model's tensors under their canonical names, those of
// Hugging Face: "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
// "model.norm.weight", "lm_head.weight" and so on; a tied lm_head is absent. It is safe for
// concurrent use.
type Source interface {
	// Names lists the canonical names in file order.
	Names() []string
	// Tensor returns the view of a canonical name, or false.
	Tensor(name string) (View, bool)
	// QKOrder says how Q and K rows pair.
	QKOrder() QKOrder
	// RopeFactors are the per-frequency divisors that a GGUF carries as
	// rope_freqs.weight, (headDim/2,), or nil.
	RopeFactors() []float32
	// Close unmaps the files; every View dies.
	Close() error
}

// Tokenizer is what a checkpoint carries to make a tokenizer from: exactly one
// of the three is set, or none.
type Tokenizer struct {
	Path  string // where it was found, for messages
	JSON  []byte // tokenizer.json
	Model []byte // tokenizer.model (SentencePiece protobuf)
	GGUF  *GGUFVocab
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

// Checkpoint is an opened, fully checked model: a Source and what lay beside it.
type Checkpoint struct {
	Source
	Path      string    // folder or file, absolute
	Format    string    // "safetensors", "gguf"
	Files     []string  // the weight files
	Bytes     int64     // size of the weight files
	Identity  string    // changes when any file does (device, inode, size, mtime)
	Config    Config    // checked
	Tokenizer Tokenizer // zero when none was found
	// ChatTemplate is the jinja text of the checkpoint, or "".
	ChatTemplate string
	// EOS are the ids that end a generated row: generation_config's, else
	// config's, or a GGUF's eos and its known control tokens, ascending.
	EOS []int
	// Sampling is the publisher's advice.
	Sampling Sampling
	// Warnings name what was found and left alone: unknown config keys,
	// tensors that the config does not imply, and advice out of range.
	Warnings []string

	maps   *mappings
	stamps []stamp // of Files
	// written is what Changed has found; it stays.
	written atomic.Pointer[Error]
}
