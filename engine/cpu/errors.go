package cpu

import (
	"errors"
	"fmt"
)

// ErrWeightsGone is returned by Open and Step when memory that a checkpoint's
// file was mapped to can no longer be read: the file shrank or its disk failed.
// The backend is unusable from then on.
var ErrWeightsGone = errors.New("cpu: the mapped weights can no longer be read: a weight file was truncated or its disk failed")

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

// BatchError says which row of a batch is wrong; nothing was computed.
type BatchError struct {
	Row int
	Msg string
}

func (e *BatchError) Error() string { return fmt.Sprintf("cpu: row %d of the batch: %s", e.Row, e.Msg) }
