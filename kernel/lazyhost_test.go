package kernel

import (
	"context"
	"errors"
	"testing"
)

func TestLazyHostTriesAgain(t *testing.T) {
	calls := 0
	l := newLazyHost(func(context.Context) (Host, error) {
		if calls++; calls == 1 {
			return nil, errors.New("not yet")
		}
		return &memHost{}, nil
	})
	if _, err := l.Stats(t.Context()); err == nil || err.Error() != "not yet" {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if _, err := l.Stats(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if calls != 2 {
		t.Errorf("connected %d times", calls)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestLazyHostWaitsWithItsContext(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	l := newLazyHost(func(context.Context) (Host, error) {
		close(entered)
		<-leave
		return &memHost{}, nil
	})
	done := make(chan error, 1)
	go func() { _, err := l.PS(context.Background()); done <- err }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.PS(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := l.Close(); err != nil { // does not wait for the connect
		t.Error(err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
