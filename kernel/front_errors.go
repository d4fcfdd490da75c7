package kernel

import (
	"context"
	"errors"
	"strings"

	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
)

// userError is an error of a cell: a name like Python's, what was found, and
// what to do.
type userError struct {
	name, msg, hint string
}

func (e userError) Error() string { return e.msg }

// Hint says how to mend it.
func (e userError) Hint() string { return e.hint }

// exceptions names the classes that pylib raises for the kinds (rpc.Kind), so
// that both notebooks show the same names.
var exceptions = map[rpc.Kind]string{
	rpc.KindMissingFile: "MissingFileError",
	rpc.KindConfig:      "ConfigError",
	rpc.KindCheckpoint:  "CheckpointError",
	rpc.KindTokenizer:   "TokenizerError",
	rpc.KindRequest:     "RequestError",
	rpc.KindStateDict:   "StateDictError",
	rpc.KindTokenIndex:  "TokenIndexError",
	rpc.KindMemory:      "NotEnoughMemoryError",
	rpc.KindKernelGone:  "KernelGoneError",
	rpc.KindProtocol:    "ProtocolError",
	rpc.KindCancelled:   "KeyboardInterrupt",
}

// errorName is the exception's name for err.
func errorName(err error) string {
	var user userError
	var remote *rpc.Error
	var stored *store.Error
	var missing *store.NotPulledError
	kind := rpc.Kind("")
	switch {
	case errors.As(err, &user):
		return user.name
	case errors.As(err, &remote):
		kind = remote.Data.Kind
	case errors.As(err, &stored):
		kind = rpc.Kind(stored.Kind)
	case errors.As(err, &missing):
		kind = rpc.KindMissingFile
	case errors.Is(err, context.Canceled):
		kind = rpc.KindCancelled
	}
	if name, ok := exceptions[kind]; ok {
		return name
	}
	return "LlamaError"
}

// splitError is the message of err and its hint, "" when it has none.
func splitError(err error) (msg, hint string) {
	var remote *rpc.Error
	if errors.As(err, &remote) {
		return remote.Message, remote.Data.Hint
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		hint = h.Hint()
	}
	return err.Error(), hint
}

// errorReply is an execute reply for err: the traceback is one line, and one
// more for the hint.
func errorReply(err error) messaging.ExecuteReply {
	name := errorName(err)
	msg, hint := splitError(err)
	if name == "KeyboardInterrupt" && errors.Is(err, context.Canceled) {
		msg = "stopped"
	}
	value := msg
	traceback := []string{ansiRed + name + ansiOff + ": " + msg}
	if hint != "" {
		value += " (" + hint + ")"
		for _, line := range strings.Split(hint, "\n") {
			traceback = append(traceback, "  "+line)
		}
	}
	return messaging.ExecuteReply{Status: "error", EName: name, EValue: value, Traceback: traceback}
}

// isGone says whether the resident that err came from is dead.
func isGone(err error) bool {
	var e *rpc.Error
	return errors.As(err, &e) && e.Data.Kind == rpc.KindKernelGone
}
