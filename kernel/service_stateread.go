package kernel

import (
	"runtime/debug"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// listState is state.list.
func (c *client) listState(p rpc.ModelRef) (rpc.ListResult, error) {
	m, err := c.model(p.Model)
	if err != nil {
		return rpc.ListResult{}, err
	}
	in, err := m.instance()
	if err != nil {
		return rpc.ListResult{}, err
	}
	defer in.release()
	o := in.overlay()
	r := rpc.ListResult{Entries: []rpc.StateEntry{}, QKOrder: "halves"}
	if o.QKOrder() == weights.Interleaved {
		r.QKOrder = "interleaved"
	}
	for _, name := range o.names {
		r.Entries = append(r.Entries, rpc.StateEntry{Key: name, DType: plainName(o.paramType(name)), Shape: o.shapes[name]})
	}
	return r, nil
}

// readState is state.read.
func (c *client) readState(p rpc.ReadParams) ([]byte, error) {
	m, err := c.model(p.Model)
	if err != nil {
		return nil, err
	}
	if _, ok := shapesOf(m.cfg)[p.Key]; !ok {
		return nil, requestError("state.list names them", "the model has no parameter %.200q", p.Key)
	}
	if p.Bytes < 1 || p.Bytes > rpc.MaxBuffer {
		return nil, requestError("read it in pieces", "bytes is %d, expected 1 to %d", p.Bytes, rpc.MaxBuffer)
	}
	in, err := m.instance()
	if err != nil {
		return nil, err
	}
	defer in.release()
	if err := weights.Changed(in.src); err != nil {
		return nil, err
	}
	v, ok := in.src.Tensor(p.Key)
	if !ok {
		return nil, kindError(rpc.KindCheckpoint, "", "the model's files have no tensor %.200q", p.Key)
	}
	if p.Offset < 0 || p.Offset > int64(len(v.Data))-p.Bytes {
		return nil, requestError("", "bytes %d to %d are outside the parameter's %d", p.Offset, p.Offset+p.Bytes, len(v.Data))
	}
	out := make([]byte, p.Bytes)
	return out, copyMapped(out, v.Data[p.Offset:])
}

// copyMapped copies from weights that may be mapped: a file that was cut short
// meanwhile is an error, not the end of the process.
func copyMapped(dst, src []byte) error {
	err := safe.Call(func() error {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		copy(dst, src)
		return nil
	})
	if err != nil {
		return kindError(rpc.KindCheckpoint, "restore the file and open the model again", "the model's file was cut short while it was open")
	}
	return nil
}
