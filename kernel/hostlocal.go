package kernel

import (
	"context"
	"errors"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// LocalOptions make a LocalHost.
type LocalOptions struct {
	Open    engine.OpenBackend
	Threads int // of the engine; 0: all cores
}

// LocalHost is the engine in this process: the registry and the service of the
// resident without comms.
type LocalHost struct{}

var _ Host = (*LocalHost)(nil)

var errSkeleton = errors.New("kernel: not built yet")

// NewLocalHost makes a Host whose engine runs in this process.
func NewLocalHost(opt LocalOptions) *LocalHost { return &LocalHost{} }

// Open implements Host.
func (h *LocalHost) Open(ctx context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (Model, error) {
	return nil, errSkeleton
}

// Stats implements Host.
func (h *LocalHost) Stats(ctx context.Context) (rpc.StatsResult, error) {
	return rpc.StatsResult{}, errSkeleton
}

// PS implements Host.
func (h *LocalHost) PS(ctx context.Context) (rpc.PSResult, error) {
	return rpc.PSResult{}, errSkeleton
}

// Close implements Host.
func (h *LocalHost) Close() error { return nil }
