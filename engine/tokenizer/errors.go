package tokenizer

import "fmt"

// Error is what every function of this package fails with.
type Error struct {
	Msg  string // what was found and what was expected
	Hint string // what a person can do, or ""
	Err  error  // the cause, or nil

	verbatim bool // Error is Msg alone
}

func (e *Error) Error() string {
	if e.verbatim {
		return e.Msg
	}
	if e.Err != nil {
		return "tokenizer: " + e.Msg + ": " + e.Err.Error()
	}
	return "tokenizer: " + e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func errorf(format string, args ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, args...)}
}

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}
