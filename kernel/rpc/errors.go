package rpc

import "fmt"

// Kind names an error across both languages; pylib raises the class beside it.
type Kind string

// The kinds and their exceptions (api.md §6).
const (
	KindMissingFile Kind = "missing_file"      // MissingFileError, FileNotFoundError
	KindConfig      Kind = "config"            // ConfigError, ValueError
	KindCheckpoint  Kind = "checkpoint"        // CheckpointError, ValueError
	KindTokenizer   Kind = "tokenizer"         // TokenizerError, ValueError
	KindRequest     Kind = "request"           // RequestError, ValueError
	KindStateDict   Kind = "state_dict"        // StateDictError, RuntimeError
	KindTokenIndex  Kind = "token_index"       // TokenIndexError, IndexError
	KindMemory      Kind = "not_enough_memory" // NotEnoughMemoryError, MemoryError
	KindKernelGone  Kind = "kernel_gone"       // KernelGoneError, ConnectionError
	KindProtocol    Kind = "protocol"          // ProtocolError, RuntimeError
	KindCancelled   Kind = "cancelled"         // KeyboardInterrupt in pylib
	KindBusy        Kind = "busy"              // LlamaError
	KindInternal    Kind = "internal"          // LlamaError
)

// JSON-RPC 2.0 and LSP error codes.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeCancelled      = -32800
	CodeFailed         = -32803 // the request was valid and failed: data.kind says how
)

// Error is a JSON-RPC error object. Message says what was found and what was
// expected; Data.Hint what to do.
type Error struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Data    ErrorData `json:"data"`
}

// ErrorData is the typed part of an Error.
type ErrorData struct {
	Kind Kind   `json:"kind"`
	Hint string `json:"hint,omitempty"`
	// Needed and Available are bytes, with KindMemory.
	Needed    int64 `json:"needed,omitempty"`
	Available int64 `json:"available,omitempty"`
}

func (e *Error) Error() string {
	if e.Data.Hint == "" {
		return e.Message
	}
	return fmt.Sprintf("%s (%s)", e.Message, e.Data.Hint)
}
