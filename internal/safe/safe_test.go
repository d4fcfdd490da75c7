package safe

import (
	"errors"
	"strings"
	"testing"
)

func TestCallTurnsPanicIntoError(t *testing.T) {
	err := Call(func() error { panic("boom") })
	var p *PanicError
	if !errors.As(err, &p) || !strings.Contains(p.Error(), "boom") || len(p.Stack) == 0 {
		t.Fatalf("got %v", err)
	}
	want := errors.New("plain")
	if got := Call(func() error { return want }); got != want {
		t.Fatalf("got %v", got)
	}
}

func TestGoSurvivesPanic(t *testing.T) {
	done := make(chan struct{})
	Go("test", func() { defer close(done); panic("boom") })
	<-done
}
