package engine

import (
	"errors"
	"fmt"
	"time"
)

// Every error that a person can cause or act on has these two methods. Kind is
// one of the strings that clients map to an exception class ("request",
// "token_index", "not_enough_memory", "busy", "checkpoint", "cancelled",
// "internal"); Hint says what to do.
type kinded interface {
	error
	Kind() string
	Hint() string
}

var (
	_ kinded = (*RequestError)(nil)
	_ kinded = (*TokenIndexError)(nil)
	_ kinded = (*MemoryError)(nil)
	_ kinded = (*BusyError)(nil)
	_ kinded = (*NonFiniteError)(nil)
	_ kinded = (*InternalError)(nil)
	_ kinded = (*ClosedError)(nil)
	_ kinded = (*CancelledError)(nil)
)

// Sentinels of the loading phase.
var (
	// ErrVocabulary is wrapped by the error of a tokenizer that knows more
	// tokens than the model has rows.
	ErrVocabulary = errors.New("engine: the tokenizer does not belong to the model")
)

// RequestError refuses a request because of its arguments; nothing changed. Its
// text stands alone, since clients show it as their own exception's.
type RequestError struct {
	Msg    string
	Advice string // what Hint returns
}

func requestErrorf(advice, format string, args ...any) *RequestError {
	return &RequestError{Msg: fmt.Sprintf(format, args...), Advice: advice}
}

func (e *RequestError) Error() string { return e.Msg }

// Kind is "request".
func (e *RequestError) Kind() string { return "request" }

// Hint says what to pass instead, or is empty.
func (e *RequestError) Hint() string { return e.Advice }

// TokenIndexError refuses a token id outside the vocabulary; nothing changed.
type TokenIndexError struct {
	ID        int32
	Row, Col  int // where in the request
	VocabSize int
}

// Error is the text of torch's embedding lookup.
func (e *TokenIndexError) Error() string { return "index out of range in self" }

// Kind is "token_index".
func (e *TokenIndexError) Kind() string { return "token_index" }

// Hint tells the id, its place and the vocabulary.
func (e *TokenIndexError) Hint() string {
	return fmt.Sprintf("token id %d at row %d, position %d; the vocabulary has ids 0 to %d", e.ID, e.Row, e.Col, e.VocabSize-1)
}

// BusyError refuses a request because too many wait already.
type BusyError struct {
	RetryAfter   time.Duration
	QueuedTokens int64 // positions that the waiting requests may need
	Waiting      int   // waiting requests
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("engine: busy: %d requests with up to %d tokens wait already", e.Waiting, e.QueuedTokens)
}

// Kind is "busy".
func (e *BusyError) Kind() string { return "busy" }

// Hint says when to come again.
func (e *BusyError) Hint() string { return fmt.Sprintf("try again in %v", e.RetryAfter) }

// NonFiniteError ends a row whose logits hold a NaN or an infinity.
type NonFiniteError struct {
	Row, Position int
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("engine: logits of row %d at position %d are not finite", e.Row, e.Position)
}

// Kind is "checkpoint": finite weights in their usual range do not do this.
func (e *NonFiniteError) Kind() string { return "checkpoint" }

// Hint names the usual cause.
func (e *NonFiniteError) Hint() string {
	return "the weights hold NaN, infinite or huge values, or belong to another config; check the checkpoint's hash"
}

// InternalError is a failure of the engine itself, a recovered panic or a
// backend's error; only the request that met it fails.
type InternalError struct {
	Err error
}

func (e *InternalError) Error() string { return "engine: failed: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InternalError) Unwrap() error { return e.Err }

// Kind is "internal".
func (e *InternalError) Kind() string { return "internal" }

// Hint says where the details are.
func (e *InternalError) Hint() string {
	return "see `llama-go logs`"
}

// ClosedError answers a request to an engine or session that has been closed.
type ClosedError struct {
	What string // "model" or "session"
}

func (e *ClosedError) Error() string { return "engine: the " + e.What + " is closed" }

// Kind is "request".
func (e *ClosedError) Kind() string { return "request" }

// Hint says how to go on.
func (e *ClosedError) Hint() string { return "open the model again" }

// CancelledError is returned by Forward and by loads whose context ended.
type CancelledError struct {
	Err error // the context's
}

func (e *CancelledError) Error() string { return "engine: cancelled: " + e.Err.Error() }

// Unwrap returns the context's error.
func (e *CancelledError) Unwrap() error { return e.Err }

// Kind is "cancelled".
func (e *CancelledError) Kind() string { return "cancelled" }

// Hint is empty: someone wanted it.
func (e *CancelledError) Hint() string { return "" }
