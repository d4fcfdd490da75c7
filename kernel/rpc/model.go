package rpc

import "github.com/llama-go/llama-go/weights"

// model.open: OpenParams → OpenResult, progress LoadProgress.
// model.new: NewParams → NewResult. model.close: ModelRef → Empty.
const (
	MethodModelOpen  = "model.open"
	MethodModelNew   = "model.new"
	MethodModelClose = "model.close"
)

// Empty is the result of methods that only do.
type Empty struct{}

// ModelRef names an open model handle of this client.
type ModelRef struct {
	Model string `json:"model"`
}

// OpenParams opens a model from files. Models are shared by (file identity,
// dtype, quantize, precision).
type OpenParams struct {
	Path          string `json:"path"`                     // absolute: a folder or a checkpoint file
	TokenizerPath string `json:"tokenizer_path,omitempty"` // absolute; "": found beside the weights or one level up
	DType         string `json:"dtype"`                    // "auto"
	Quantize      string `json:"quantize,omitempty"`       // "int8", "int4"; "": the file's types
	Precision     string `json:"precision"`                // "exact", "fast"
	Threads       int    `json:"threads,omitempty"`        // 0: all cores
	MaxSeqLen     int    `json:"max_seq_len,omitempty"`    // for the memory check; 0: min(limit, 4096)
	MaxBatchSize  int    `json:"max_batch_size,omitempty"` // 0: 32
	NeedTokenizer bool   `json:"need_tokenizer,omitempty"` // fail when none is found
}

// OpenResult is a handle and what is known of the model.
type OpenResult struct {
	Model  string         `json:"model"`
	Config weights.Config `json:"config"`
	Info   ModelInfo      `json:"info"`
}

// ModelInfo describes a loaded model.
type ModelInfo struct {
	Name        string   `json:"name"` // short, for people
	Path        string   `json:"path"` // "" for a model without files
	Format      string   `json:"format"`
	DType       string   `json:"dtype"`
	Quantize    string   `json:"quantize"` // what matrices were converted to, or ""
	Precision   string   `json:"precision"`
	Parameters  int64    `json:"parameters"`
	Bytes       int64    `json:"bytes"`    // of weights
	Resident    bool     `json:"resident"` // it was loaded already
	LoadSeconds float64  `json:"load_seconds"`
	MaxSeqLen   int      `json:"max_seq_len"` // the model's limit
	Backend     string   `json:"backend"`     // which unit computes
	Tokenizer   *TokInfo `json:"tokenizer"`   // null when the model has none
	Sampling    Sampling `json:"sampling"`
}

// Sampling is how the model's publisher advises to draw tokens; null: no advice.
type Sampling struct {
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
}

// TokInfo describes a model's tokenizer.
type TokInfo struct {
	Kind          string         `json:"kind"` // "bpe", "sentencepiece"
	Words         int            `json:"n_words"`
	BOS           int            `json:"bos_id"` // -1: none
	EOS           int            `json:"eos_id"`
	Pad           int            `json:"pad_id"`
	StopTokens    []int          `json:"stop_tokens"`
	SpecialTokens map[string]int `json:"special_tokens"`
	ChatFormat    string         `json:"chat_format"` // "llama2", "llama3", "chatml", ""
	AddBOS        bool           `json:"add_bos"`
}

// LoadProgress is the params of $/progress during model.open.
type LoadProgress struct {
	ID    int64 `json:"id"`
	Bytes int64 `json:"bytes"`
	Total int64 `json:"total"`
}

// NewParams makes a private model without a file: norms 1, the rest N(0, 0.02)
// of a counter-based generator, made at first use.
type NewParams struct {
	Config       weights.Config `json:"config"`
	DType        string         `json:"dtype"`              // "float32", "float16", "bfloat16"
	Quantize     string         `json:"quantize,omitempty"` // as OpenParams
	Precision    string         `json:"precision"`
	Seed         uint64         `json:"seed"`
	Threads      int            `json:"threads,omitempty"`
	MaxSeqLen    int            `json:"max_seq_len"`
	MaxBatchSize int            `json:"max_batch_size"`
}

// NewResult is the handle of a private model.
type NewResult struct {
	Model string    `json:"model"`
	Info  ModelInfo `json:"info"`
}
