package weights

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrorKind groups errors by what a person has to mend.
type ErrorKind string

const (
	KindMissingFile ErrorKind = "missing_file" // config, weights or tokenizer absent
	KindConfig      ErrorKind = "config"       // a config with values that cannot be
	KindCheckpoint  ErrorKind = "checkpoint"   // weights that are broken or not for this config
	KindTokenizer   ErrorKind = "tokenizer"    // tokenizer files or their config
)

// Error is what every function of this package returns on failure.
type Error struct {
	Kind  ErrorKind
	File  string // the file, or "" where the message itself says it
	Where string // byte offset, field or tensor in it, or ""
	Msg   string // what was found, what was expected
	Help  string // what to do, where that is more than the kind's own advice
	Err   error  // the cause, or nil
}

func (e *Error) Error() string {
	switch {
	case e.File != "" && e.Where != "":
		return fmt.Sprintf("weights: %s: %s: %s", e.File, e.Where, e.Msg)
	case e.File != "":
		return fmt.Sprintf("weights: %s: %s", e.File, e.Msg)
	case e.Where != "":
		return fmt.Sprintf("weights: %s: %s", e.Where, e.Msg)
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string {
	switch {
	case e.Help != "":
		return e.Help
	case e.Kind == KindConfig:
		return "correct the file, or fetch it again from where the model came from"
	case e.Kind == KindTokenizer:
		return "fetch the tokenizer's files again from where the model came from"
	case e.Kind == KindCheckpoint:
		return "the file is damaged or not what its name says: fetch it again"
	}
	return ""
}

// missing is a file that should be there and is not; msg is the whole text.
func missing(msg, hint string) *Error {
	return &Error{Kind: KindMissingFile, Msg: msg, Help: hint, Err: fs.ErrNotExist}
}

// located adds the file to an *Error that has none yet and needs one.
func located(err error, file string) error {
	var e *Error
	if errors.As(err, &e) && e.File == "" && e.Kind != KindMissingFile {
		e.File = file
	}
	return err
}
