package cpu

import (
	"context"
	"runtime/debug"
	"sync/atomic"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// loadStep is how many bytes are read between two looks at the context and two
// progress reports.
const loadStep = 8 << 20

// pageBytes is no larger than a page of any machine that Go runs on.
const pageBytes = 4096

// loader reads all weights once: matrices that the plan multiplies from panels
// are packed, one after another, by the whole team, and their files' pages given
// back; of the others every page is touched. With quantize all matrices are
// quantized so, in panels or not.
type loader struct {
	ctx         context.Context
	plan        *simd.Plan
	pool        *simd.Pool
	quantize    engine.Quantize
	cacheDir    string      // of OpenCached, or ""
	scratch     [][]float32 // of each worker, for a row that is quantized
	progress    func(done, total int64)
	release     func(data []byte) // tells the source what will not be read again
	done, total int64
	told        int64 // the most of done that progress knows
}

// load binds the model and loads its weights. The panels lie in the memory that
// it returns.
func (l *loader) load(cfg weights.Config, src weights.Source) (m *model, panels *simd.Memory, err error) {
	if l.progress == nil {
		l.progress = func(done, total int64) {}
	}
	l.release = func([]byte) {}
	if r, ok := src.(interface{ Release(data []byte) }); ok {
		l.release = r.Release
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err = safe.Call(func() (err error) {
		var tensors []tensor
		if m, tensors, err = bind(l.ctx, cfg, src); err != nil {
			return err
		}
		if err := l.checkTypes(tensors); err != nil {
			return err
		}
		panels, err = l.read(m, src, tensors)
		return err
	})
	return m, panels, classify(err)
}

// read loads tensor after tensor, or what is quantized from its cache.
func (l *loader) read(m *model, src weights.Source, tensors []tensor) (panels *simd.Memory, err error) {
	for _, t := range tensors {
		l.total += int64(len(t.data))
	}
	twins, mem, err := l.place(m, tensors)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil { // then panels is nil
			mem.Free()
		}
	}()
	kept := newCache(l.cacheDir, src, l.quantize, l.plan, len(mem.Bytes))
	hit := false
	if kept != nil {
		if hit, err = l.readCache(kept, mem.Bytes); err != nil {
			return nil, err
		}
		if !hit {
			clear(mem.Bytes)
		}
	}
	for i, t := range tensors {
		twin, copied := twins[t.matrix]
		if !copied && hit { // a norm, which bind has read
			continue
		}
		if !copied {
			if err := l.touch(t.data); err != nil {
				return nil, err
			}
			continue
		}
		if !hit {
			if err := l.pack(&twin, t); err != nil {
				return nil, err
			}
		}
		*t.matrix = twin
		tensors[i].data = nil // the source may let go of it
		l.release(t.data)
	}
	if kept != nil && !hit {
		if err := l.writeCache(kept, src, mem.Bytes); err != nil {
			return nil, err
		}
	}
	return mem, nil
}

// place lays out the panels of all matrices that are packed, in the order in
// which a step reads them; gate and up, which are read together, take turns.
func (l *loader) place(m *model, tensors []tensor) (twins map[*simd.Matrix]simd.Matrix, panels *simd.Memory, err error) {
	size := 0
	shapes := map[*simd.Matrix]*simd.Matrix{} // of the twins
	for _, t := range tensors {
		if w := l.shape(m, t.matrix); w != nil {
			shapes[t.matrix] = w
			size += roundUp(l.bytes(w), 64)
		}
	}
	if panels, err = simd.NewMemory(size); err != nil {
		return nil, nil, err
	}
	twins = map[*simd.Matrix]simd.Matrix{}
	free := panels.Bytes
	take := func(n int) (mem []byte) {
		mem, free = free[:n], free[roundUp(n, 64):]
		return mem
	}
	upOf := map[*simd.Matrix]*simd.Matrix{}
	for i := range m.layers {
		upOf[m.layers[i].mlp.gateProj] = m.layers[i].mlp.upProj
	}
	for _, t := range tensors {
		w := shapes[t.matrix]
		if _, placed := twins[t.matrix]; placed || w == nil {
			continue
		}
		switch up := upOf[t.matrix]; {
		case !l.plan.Packs(w.Type):
			twins[t.matrix] = w.Stored(take(w.StoredBytes()))
		case up != nil && shapes[up].Type == w.Type:
			twins[t.matrix], twins[up] = l.plan.PanelPair(w, shapes[up], take(2*w.PanelBytes()))
		default:
			twins[t.matrix] = l.plan.Panels(w, take(w.PanelBytes()))
		}
	}
	return twins, panels, nil
}

// shape is what a matrix is copied to: itself in panels, or quantized; nil where it
// stays. Embeddings that are only looked up stay where they are unless they are
// quantized.
func (l *loader) shape(m *model, w *simd.Matrix) *simd.Matrix {
	switch {
	case w == nil:
		return nil
	case l.quantize != engine.NoQuantize:
		return w.As(quantizedType(l.quantize, w == m.embedTokens || w == m.lmHead))
	case l.plan.Packs(w.Type) && (w != m.embedTokens || w == m.lmHead):
		return w
	}
	return nil
}

// bytes is the memory of a copied matrix.
func (l *loader) bytes(w *simd.Matrix) int {
	if l.plan.Packs(w.Type) {
		return w.PanelBytes()
	}
	return w.StoredBytes()
}

// pack fills the panels of a stored matrix, or quantizes it.
func (l *loader) pack(packed *simd.Matrix, t tensor) error {
	const few = 4 // panels of a chunk
	n := packed.Panels()
	fill := func(_, lo, hi int) { packed.PackPanels(t.matrix, lo, hi) }
	var refused atomic.Bool
	if l.quantize != engine.NoQuantize {
		scratch := l.rows(t.matrix.Cols)
		fill = func(worker, lo, hi int) {
			if packed.Quantize(t.matrix, lo, hi, scratch[worker]) != nil {
				refused.Store(true)
			}
		}
	}
	batch := max(few, n*loadStep/max(loadStep, len(t.data)))
	before := l.done
	for lo := 0; lo < n; lo += batch {
		hi := min(n, lo+batch)
		if err := l.pool.Run(chunks(hi-lo, few), func(worker, c int) {
			fill(worker, lo+c*few, min(hi, lo+(c+1)*few))
		}); err != nil {
			return err
		}
		if refused.Load() {
			return &TensorError{t.name, "weights that are no finite numbers", "finite ones, which can be quantized"}
		}
		if err := l.report(before + int64(float64(len(t.data))*float64(hi)/float64(n))); err != nil {
			return err
		}
	}
	return l.ctx.Err()
}

// touch reads a byte of every page of data.
func (l *loader) touch(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), loadStep)
		touch(data[:n])
		data = data[n:]
		if err := l.report(l.done + int64(n)); err != nil {
			return err
		}
	}
	return nil
}

// report tells how far it is, unless the context has ended. It never goes back,
// though a damaged cache may have been read before.
func (l *loader) report(done int64) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if l.done = done; done > l.told {
		l.told = done
		l.progress(l.done, l.total)
	}
	return nil
}

//go:noinline
func touch(data []byte) (sum byte) {
	for i := 0; i < len(data); i += pageBytes {
		sum += data[i]
	}
	return sum + data[len(data)-1]
}

func roundUp(n, step int) int { return (n + step - 1) / step * step }
