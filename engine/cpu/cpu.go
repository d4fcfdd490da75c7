package cpu

import (
	"context"
	"errors"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/weights"
)

var _ engine.OpenBackend = Open

// Open makes the CPU backend of a model.
func Open(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions,
	progress func(done, total int64)) (engine.Backend, error) {
	return nil, errors.New("cpu: the forward pass is not built yet")
}
