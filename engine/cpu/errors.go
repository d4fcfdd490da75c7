package cpu

import (
	"errors"
	"fmt"
)

// Errors that a person can act on carry a Kind, one of the strings that clients
// map to an exception class, and a Hint.

// ErrWeightsGone is what errors.Is finds in a *WeightsGoneError.
var ErrWeightsGone = errors.New("cpu: the mapped weights can no longer be read: a weight file was truncated or its disk failed")

// WeightsGoneError is returned by Open and Step when memory that a checkpoint's
// file was mapped to can no longer be read. The backend is unusable from then
// on.
type WeightsGoneError struct {
	Addr uintptr // the address that could not be read
}

func (e *WeightsGoneError) Error() string {
	return fmt.Sprintf("%v (read of address %#x)", ErrWeightsGone, e.Addr)
}

// Unwrap returns ErrWeightsGone.
func (e *WeightsGoneError) Unwrap() error { return ErrWeightsGone }

// Kind is "checkpoint".
func (e *WeightsGoneError) Kind() string { return "checkpoint" }

// Hint tells what a person can do.
func (e *WeightsGoneError) Hint() string {
	return "do not write to a model's files while it is open; restore the file and open the model again"
}

// ErrClosed is returned by Step after Close.
var ErrClosed = errors.New("cpu: the backend is closed")

// TensorError says that a tensor does not fit the config.
type TensorError struct {
	Name        string // canonical name
	Found, Want string // shape, type or "nothing"
}

func (e *TensorError) Error() string {
	return fmt.Sprintf("cpu: tensor %q: found %s, expected %s", e.Name, e.Found, e.Want)
}

// Kind is "checkpoint".
func (e *TensorError) Kind() string { return "checkpoint" }

// Hint tells what a person can do.
func (e *TensorError) Hint() string {
	return "the weights do not belong to this config; download the model again or pass the config that came with it"
}

// ConfigError says that the backend cannot compute a config or an option.
type ConfigError struct {
	Field       string
	Found, Want string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("cpu: %s: found %s, expected %s", e.Field, e.Found, e.Want)
}

// Kind is "config".
func (e *ConfigError) Kind() string { return "config" }

// Hint tells what a person can do.
func (e *ConfigError) Hint() string { return "change " + e.Field + " to " + e.Want }

// BatchError says which row of a batch is wrong; nothing was computed.
type BatchError struct {
	Row int
	Msg string
}

func (e *BatchError) Error() string { return fmt.Sprintf("cpu: row %d of the batch: %s", e.Row, e.Msg) }
