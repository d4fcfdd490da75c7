package cpu

import (
	"context"
	"runtime/debug"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/weights"
)

// touchStep is how many bytes are touched between two looks at the context and
// two progress reports.
const touchStep = 8 << 20

// pageBytes is no larger than a page of any machine that Go runs on.
const pageBytes = 4096

// load binds the model and touches every page of its weights once.
func load(ctx context.Context, cfg weights.Config, src weights.Source, progress func(done, total int64)) (*model, error) {
	if progress == nil {
		progress = func(done, total int64) {}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var m *model
	err := safe.Call(func() (err error) {
		var tensors [][]byte
		var total int64
		m, err = bind(cfg, src, func(data []byte) error {
			tensors = append(tensors, data)
			total += int64(len(data))
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		var done int64
		for _, data := range tensors {
			for len(data) > 0 {
				n := min(len(data), touchStep)
				touch(data[:n])
				data, done = data[n:], done+int64(n)
				if err := ctx.Err(); err != nil {
					return err
				}
				progress(done, total)
			}
		}
		return nil
	})
	return m, classify(err)
}

// touch reads a byte of every page of data.
//
//go:noinline
func touch(data []byte) (sum byte) {
	for i := 0; i < len(data); i += pageBytes {
		sum += data[i]
	}
	return sum + data[len(data)-1]
}
