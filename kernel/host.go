package kernel

import (
	"context"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// Host is all that a cell may ask of an engine. Two implementations: the engine
// in this process (hostlocal.go) and the resident, by the methods of kernel/rpc
// (hostremote.go). Errors are *rpc.Error. Safe for concurrent use.
type Host interface {
	// Open loads a model or attaches to the loaded one. progress may be nil.
	Open(ctx context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (Model, error)
	Stats(ctx context.Context) (rpc.StatsResult, error)
	PS(ctx context.Context) (rpc.PSResult, error)
	// Close lets go of all that was opened through this host.
	Close() error
}

// Model is an open handle.
type Model interface {
	Info() rpc.OpenResult
	Tokenize(ctx context.Context, p rpc.TokenizeParams) ([]int32, error)
	Detokenize(ctx context.Context, p rpc.DetokenizeParams) (rpc.TextResult, error)
	EncodeDialog(ctx context.Context, p rpc.ChatParams) (rpc.ChatResult, error)
	// Session opens a timeline; a conversation owns one.
	Session(ctx context.Context, p rpc.SessionParams) (Session, error)
	Close() error
}

// Session is a timeline of rows. Generate reuses the KV of the longest common
// prefix of each row's ids with what the row held before. When ctx ends it
// returns what there is, finish "interrupted", and a nil error.
type Session interface {
	Info() rpc.SessionResult
	Generate(ctx context.Context, p rpc.GenerateParams, emit func(rpc.GenerateProgress)) (rpc.GenerateResult, error)
	Close() error
}
