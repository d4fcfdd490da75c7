// Package safe starts goroutines that recover: a panic while serving one
// request must fail that request only, never the process.
package safe

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// PanicError is a recovered panic.
type PanicError struct {
	Value any
	Stack []byte
}

// Error tells the panic's value; the stack is for the log alone.
func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// Call runs f and returns its error, or a *PanicError when f panics.
func Call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return f()
}

// Go runs f on a new goroutine that logs and swallows a panic. name says whose
// it is in the log.
func Go(name string, f func()) {
	go func() {
		err := Call(func() error { f(); return nil })
		if p, ok := err.(*PanicError); ok {
			slog.Error("recovered panic", "goroutine", name, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
		}
	}()
}
