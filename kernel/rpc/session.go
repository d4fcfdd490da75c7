package rpc

import "github.com/llama-go/llama-go/engine"

// session.open: SessionParams → SessionResult; session.close: SessionRef → Empty;
// forward: ForwardParams → ForwardResult; result.read: ResultReadParams →
// ResultReadResult and a buffer; result.reduce: ReduceParams → ReduceResult and
// buffers; result.free: ResultRef → Empty.
const (
	MethodSessionOpen  = "session.open"
	MethodSessionClose = "session.close"
	MethodForward      = "forward"
	MethodResultRead   = "result.read"
	MethodResultReduce = "result.reduce"
	MethodResultFree   = "result.free"
)

// SessionParams opens a timeline of max_batch_size rows. Both sizes are limits,
// never reservations; 0 means the default.
type SessionParams struct {
	Model        string `json:"model"`
	MaxBatchSize int    `json:"max_batch_size"`
	MaxSeqLen    int    `json:"max_seq_len"`
}

// SessionResult is a session and its limits.
type SessionResult struct {
	Session      string `json:"session"`
	MaxBatchSize int    `json:"max_batch_size"`
	MaxSeqLen    int    `json:"max_seq_len"`
}

// SessionRef names a session.
type SessionRef struct {
	Session string `json:"session"`
}

// ForwardParams runs rows of equal length at start_pos. Keep selects the
// positions whose logits stay: null all, else indices in [0, seqlen).
type ForwardParams struct {
	Session  string    `json:"session"`
	Tokens   [][]int32 `json:"tokens"`
	StartPos int       `json:"start_pos"`
	Keep     []int     `json:"keep"`
}

// ForwardResult names logits, (bsz, kept, vocab) float32, that stay in the
// resident until result.free or the end of the lease.
type ForwardResult struct {
	Result string `json:"result"`
	Shape  []int  `json:"shape"`
}

// ResultRef names logits.
type ResultRef struct {
	Result string `json:"result"`
}

// ResultReadParams reads elements [offset, offset+count) of the flattened logits.
type ResultReadParams struct {
	Result string `json:"result"`
	Offset int64  `json:"offset"`
	Count  int64  `json:"count"`
}

// ResultReadResult describes the buffer, float32 (count,).
type ResultReadResult struct {
	Data Tensor `json:"data"`
}

// ReduceParams reduces the last dimension of logits for the flattened
// positions [first, first+count): "argmax" → int32 (count,); "topk" (k) →
// float32 values and int32 ids, both (count, k); "log_softmax_of" (ids, (count,)) → float32 (count,).
type ReduceParams struct {
	Result string  `json:"result"`
	First  int64   `json:"first"`
	Count  int64   `json:"count"`
	Op     string  `json:"op"`
	K      int     `json:"k,omitempty"`
	IDs    []int32 `json:"ids,omitempty"`
}

// ReduceResult describes one buffer (argmax, log_softmax_of) or two (topk).
type ReduceResult struct {
	Data []Tensor `json:"data"`
}

// generate: GenerateParams → GenerateResult, progress GenerateProgress at 20–60 Hz.
const MethodGenerate = "generate"

// GenerateParams are engine.GenerateRequest's on the wire.
type GenerateParams struct {
	Session     string    `json:"session"`
	Rows        [][]int32 `json:"rows"`
	MaxGenLen   int       `json:"max_gen_len"` // 0: to the end of the context
	Temperature float64   `json:"temperature"`
	TopP        float64   `json:"top_p"`
	Seeds       []uint64  `json:"seeds,omitempty"` // (rows,)
	LogProbs    bool      `json:"logprobs,omitempty"`
	TopLogProbs int       `json:"top_logprobs,omitempty"`
	Echo        bool      `json:"echo,omitempty"`
	IgnoreEOS   bool      `json:"ignore_eos,omitempty"`
	StopIDs     []int32   `json:"stop_token_ids,omitempty"` // beside the model's own
	Text        bool      `json:"text,omitempty"`           // send text pieces too: needs a tokenizer
	Stream      bool      `json:"stream,omitempty"`         // send progress
}

// GenerateProgress carries what came since the last one, in order. With stream
// every token is reported once, also those of the last instant, before the result.
type GenerateProgress struct {
	ID     int64        `json:"id"`
	Chunks []TokenChunk `json:"chunks"`
	// Prefill tells how far the prompt is: positions done and in total; both 0 once tokens come.
	PrefillDone  int `json:"prefill_done,omitempty"`
	PrefillTotal int `json:"prefill_total,omitempty"`
}

// TokenChunk is a run of tokens of one row. Text, when asked for, is what they
// add to the row's text; an incomplete character is held back to a later chunk.
type TokenChunk struct {
	Row      int                     `json:"row"`
	IDs      []int32                 `json:"ids"`
	LogProbs []float32               `json:"logprobs,omitempty"`
	Top      [][]engine.TokenLogProb `json:"top,omitempty"`
	Echo     bool                    `json:"echo,omitempty"`
	Text     string                  `json:"text,omitempty"`
	// Finish is set in the row's last chunk.
	Finish engine.FinishReason `json:"finish,omitempty"`
}

// GenerateRow is one row's whole outcome.
type GenerateRow struct {
	IDs      []int32             `json:"ids"`
	LogProbs []float32           `json:"logprobs,omitempty"`
	Text     string              `json:"text,omitempty"`
	Finish   engine.FinishReason `json:"finish_reason"`
	Reused   int                 `json:"reused"`
}

// GenerateResult is the whole outcome; a cancelled generate is a result with
// finish_reason "interrupted", not an error.
type GenerateResult struct {
	Rows    []GenerateRow  `json:"rows"`
	Timings engine.Timings `json:"timings"`
}
