package kernel

import (
	"context"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// lazyHost connects when it is first used, so that a kernel answers at once
// while its resident is still starting. A connect that failed is tried again by
// the next call.
type lazyHost struct {
	connect func(context.Context) (Host, error)
	turn    chan struct{} // holds one token: who may look at host
	host    Host
}

func newLazyHost(connect func(context.Context) (Host, error)) *lazyHost {
	l := &lazyHost{connect: connect, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// get returns the host, connecting where needed.
func (l *lazyHost) get(ctx context.Context) (Host, error) {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { l.turn <- struct{}{} }()
	if l.host == nil {
		h, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		l.host = h
	}
	return l.host, nil
}

// Open implements Host.
func (l *lazyHost) Open(ctx context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (Model, error) {
	h, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return h.Open(ctx, p, progress)
}

// Stats implements Host.
func (l *lazyHost) Stats(ctx context.Context) (rpc.StatsResult, error) {
	h, err := l.get(ctx)
	if err != nil {
		return rpc.StatsResult{}, err
	}
	return h.Stats(ctx)
}

// PS implements Host.
func (l *lazyHost) PS(ctx context.Context) (rpc.PSResult, error) {
	h, err := l.get(ctx)
	if err != nil {
		return rpc.PSResult{}, err
	}
	return h.PS(ctx)
}

// Close implements Host; a connect that is under way is left to end.
func (l *lazyHost) Close() error {
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
		if l.host != nil {
			return l.host.Close()
		}
	default:
	}
	return nil
}
