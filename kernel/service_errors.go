package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// requestError refuses a request because of its params.
func requestError(hint, format string, args ...any) *rpc.Error {
	return kindError(rpc.KindRequest, hint, format, args...)
}

func kindError(kind rpc.Kind, hint, format string, args ...any) *rpc.Error {
	return &rpc.Error{Code: rpc.CodeFailed, Message: fmt.Sprintf(format, args...), Data: rpc.ErrorData{Kind: kind, Hint: hint}}
}

// mapError is the one place where errors of the other rooms become what a
// client sees.
func mapError(err error) *rpc.Error {
	var (
		ours   *rpc.Error
		file   *weights.Error
		tok    *tokenizer.Error
		memory *engine.MemoryError
		kinded interface {
			error
			Kind() string
			Hint() string
		}
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &memory):
		e := kindError(rpc.KindMemory, memory.Hint(), "%s", err)
		e.Data.Needed, e.Data.Available = memory.Needed, memory.Available
		return e
	case errors.As(err, &file):
		return kindError(rpc.Kind(file.Kind), file.Hint(), "%s", err)
	case errors.As(err, &tok):
		return kindError(rpc.KindTokenizer, tok.Hint, "%s", err)
	case errors.As(err, &kinded):
		e := kindError(rpc.Kind(kinded.Kind()), kinded.Hint(), "%s", err)
		if e.Data.Kind == rpc.KindCancelled {
			e.Code = rpc.CodeCancelled
		}
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &rpc.Error{Code: rpc.CodeCancelled, Message: "the request was cancelled", Data: rpc.ErrorData{Kind: rpc.KindCancelled}}
	}
	return &rpc.Error{Code: rpc.CodeInternal, Message: err.Error(), Data: rpc.ErrorData{Kind: rpc.KindInternal, Hint: "llama-go logs shows more"}}
}
