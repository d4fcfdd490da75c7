package store

import (
	"errors"
	"fmt"
)

// The kinds of Error, equal to those that travel to clients.
const (
	KindMissingFile = "missing_file"
	KindCheckpoint  = "checkpoint"
	KindRequest     = "request"
	KindNetwork     = "network"
)

// Error says what was found, what was expected, and in Hint what to do.
type Error struct {
	Kind string
	Msg  string
	Tip  string
	Err  error
}

func (e *Error) Error() string { return e.Msg }

// Hint says how to mend it.
func (e *Error) Hint() string { return e.Tip }

func (e *Error) Unwrap() error { return e.Err }

// NotPulledError is returned for a known model that is not in the cache.
type NotPulledError struct {
	Name string
	Path string // where it would lie
}

func (e *NotPulledError) Error() string {
	return fmt.Sprintf("model %q is not here yet: no file %s", e.Name, e.Path)
}

// Hint says how to get it.
func (e *NotPulledError) Hint() string { return "llama-go pull " + e.Name }

// IsNotPulled says whether err is that of a known model not yet in the cache.
func IsNotPulled(err error) bool {
	var e *NotPulledError
	return errors.As(err, &e)
}
