package kernel

import (
	"sync"

	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// Limits of an upload.
const (
	maxUploadKeys = 200_000
	maxKeyBytes   = 1024
)

// upload collects a state dict. Only tensors that the model has, in its shape,
// are stored; of the others name, type and shape are enough for the report.
type upload struct {
	svc    *service
	model  *model
	shapes map[string][]int // of the model, by canonical name

	mu      sync.Mutex
	over    bool
	order   []string
	tensors map[string]*uploaded
}

// uploaded is one entry of the state dict.
type uploaded struct {
	key, dtype string
	shape      []int
	total, got int64
	data       []byte // (got,) when stored
	stored     bool
	canonical  string // "" when no Llama has such a key
	naming     weights.Naming
}

// beginState is state.begin.
func (c *client) beginState(p rpc.ModelRef) (rpc.BeginResult, error) {
	m, err := c.model(p.Model)
	if err != nil {
		return rpc.BeginResult{}, err
	}
	u := &upload{svc: c.svc, model: m, shapes: shapesOf(m.cfg), tensors: map[string]*uploaded{}}
	id, err := put(c, func() map[string]*upload { return c.uploads }, "u", "uploads", maxUploads, u)
	if err != nil {
		return rpc.BeginResult{}, err
	}
	return rpc.BeginResult{Upload: id}, nil
}

func shapesOf(cfg weights.Config) map[string][]int {
	shapes := map[string][]int{}
	for _, t := range weights.TensorShapes(cfg) {
		shapes[t.Name] = t.Shape
	}
	return shapes
}

// putState is state.put. Pieces of one tensor come in order.
func (c *client) putState(p rpc.PutParams, buffers [][]byte) error {
	u, err := c.upload(p.Upload)
	if err != nil {
		return err
	}
	if p.Key == "" || len(p.Key) > maxKeyBytes {
		return requestError("", "a key has %d bytes, expected 1 to %d", len(p.Key), maxKeyBytes)
	}
	total, err := rpc.TensorBytes(p.DType, p.Shape)
	if err != nil {
		return requestError("", "%.200q: %v", p.Key, err)
	}
	piece, err := p.Data.Take(buffers)
	if err != nil {
		return requestError("send it again", "%.200q: %v", p.Key, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return requestError("begin another", "the upload has ended")
	}
	t := u.tensors[p.Key]
	if t == nil {
		if len(u.order) >= maxUploadKeys {
			return requestError("", "more than %d keys", maxUploadKeys)
		}
		t = u.newUploaded(p, total)
	}
	if t.dtype != p.DType || !sameShape(t.shape, p.Shape) {
		return requestError("", "%.200q: this piece is of a %s tensor %v, an earlier one of %s %v", p.Key, p.DType, p.Shape, t.dtype, t.shape)
	}
	if p.Offset != t.got {
		return requestError("send the pieces of a tensor in order", "%.200q: the piece begins at byte %d, expected %d", p.Key, p.Offset, t.got)
	}
	if int64(len(piece)) > t.total-t.got {
		return requestError("", "%.200q: the piece ends at byte %d, the tensor has %d", p.Key, t.got+int64(len(piece)), t.total)
	}
	if u.tensors[p.Key] == nil {
		if err := u.reserve(t); err != nil {
			return err
		}
		u.tensors[p.Key] = t
		u.order = append(u.order, p.Key)
	}
	t.got += int64(len(piece))
	if t.stored {
		u.svc.promised.Add(-int64(len(piece)))
		if int64(len(piece)) == t.total {
			t.data = piece // the buffer is ours
		} else {
			t.data = append(t.data, piece...)
		}
	}
	return nil
}

// newUploaded looks up a new key.
func (u *upload) newUploaded(p rpc.PutParams, total int64) *uploaded {
	t := &uploaded{key: p.Key, dtype: p.DType, shape: p.Shape, total: total}
	if canonical, naming, ok := weights.CanonicalName(p.Key); ok && naming != weights.GGUF {
		t.canonical, t.naming = canonical, naming
	}
	want, ok := u.shapes[t.canonical]
	if !ok && isTiedHead(u.model.cfg, t.canonical) {
		want, ok = u.shapes[embedName], true
	}
	t.stored = ok && sameShape(want, p.Shape) && isFloat(p.DType)
	return t
}

// reserve makes room for a tensor that will be stored, after the memory check.
func (u *upload) reserve(t *uploaded) error {
	if !t.stored {
		return nil
	}
	if err := u.svc.memory(t.total); err != nil {
		return err
	}
	u.svc.promised.Add(t.total)
	if t.total > rpc.MaxBuffer {
		t.data = make([]byte, 0, t.total) // bounded by the model's own parameter
	}
	return nil
}

func isFloat(dtype string) bool {
	switch dtype {
	case "float64", "float32", "float16", "bfloat16":
		return true
	}
	return false
}

// sameShape compares shapes; nil is a scalar's.
func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// takeUpload ends an upload and returns it.
func (c *client) takeUpload(id string) (*upload, error) {
	u, err := c.upload(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	delete(c.uploads, id)
	c.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return nil, requestError("begin another", "the upload has ended")
	}
	u.end()
	return u, nil
}

// end closes the upload to further pieces and returns the bytes that it holds;
// u.mu is held.
func (u *upload) end() int64 {
	if u.over {
		return 0
	}
	u.over = true
	held := int64(0)
	for _, t := range u.tensors {
		if t.stored {
			u.svc.promised.Add(t.got - t.total)
			held += int64(len(t.data))
		}
	}
	return held
}

// abortState is state.abort.
func (c *client) abortState(p rpc.UploadRef) error {
	u, err := c.takeUpload(p.Upload)
	if err != nil {
		return err
	}
	held := int64(0)
	for _, t := range u.tensors { // it is over: nobody writes to it
		held += int64(len(t.data))
	}
	giveBack(held)
	return nil
}
