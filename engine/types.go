package engine

// FinishReason says why a row ended.
type FinishReason string

const (
	FinishStop        FinishReason = "stop"        // a stop token was generated
	FinishLength      FinishReason = "length"      // max_gen_len or the context ended it
	FinishInterrupted FinishReason = "interrupted" // the request's context ended
)

// GenerateRequest asks a session for new tokens of some rows. Semantics are those of
// Meta's Llama.generate (meta-llama/llama3 llama/generation.py:127-236) with
// its two bugs mended.
type GenerateRequest struct {
	Rows        [][]int32 // prompts, one per session row; none empty
	MaxGenLen   int       // ≥ 0, cut to what the context leaves; with 0 and Echo the prompt is scored alone
	Temperature float64   // 0: argmax
	TopP        float64   // mass of the nucleus: the token that crosses it stays
	Seeds       []uint64  // (rows,) or none: counter-based, keyed by seed and position
	LogProbs    bool      // log-softmax of raw logits of each token
	Echo        bool      // the prompt's tokens come first; entry 0 has log-probability 0
	StopIDs     []int32   // end a row when generated, and are not returned; empty with IgnoreEOS
	// TopLogProbs asks for this many best (id, log-probability) pairs per generated token; at most MaxTopLogProbs.
	TopLogProbs int
}

// TokenLogProb is one alternative at a position.
type TokenLogProb struct {
	ID      int32   `json:"id"`
	LogProb float32 `json:"logprob"`
}

// Token is one token of a row, echoed or generated.
type Token struct {
	Row     int
	ID      int32
	LogProb float32        // when asked
	Top     []TokenLogProb // when asked; generated tokens only
	Echo    bool           // a prompt token
	// Finish says that the row has ended, while others may go on: this is no
	// token then, and ID is -1. Rows that end with the call itself have no such
	// notice.
	Finish FinishReason
}

// RowResult is what a row came to.
type RowResult struct {
	IDs      []int32
	LogProbs []float32 // nil unless asked
	Finish   FinishReason
	Reused   int // prompt positions that were in the session's KV already
}

// Timings of one generate call, by the clock from its first step on: the turns of other
// requests count. The first token of a row comes out of its prefill.
type Timings struct {
	PromptTokens    int     `json:"prompt_tokens"` // computed, reused ones not counted
	ReusedTokens    int     `json:"reused_tokens"`
	PrefillSeconds  float64 `json:"prefill_seconds"`
	GeneratedTokens int     `json:"generated_tokens"`
	DecodeSeconds   float64 `json:"decode_seconds"`
	// DecodeSteps are the positions computed in DecodeSeconds, over all rows: the
	// first token of a row comes from its prompt, and a stop token takes a step.
	DecodeSteps int `json:"decode_steps"`
}

// GenerateResult is the outcome of a generate call, also of one that was
// interrupted.
type GenerateResult struct {
	Rows    []RowResult
	Timings Timings
}
