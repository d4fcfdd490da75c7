package cpu

import (
	"context"
	"runtime/debug"

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
// back; of the others every page is touched.
type loader struct {
	ctx         context.Context
	plan        *simd.Plan
	pool        *simd.Pool
	progress    func(done, total int64)
	release     func(data []byte) // tells the source what will not be read again
	done, total int64
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
		panels, err = l.read(m, tensors)
		return err
	})
	return m, panels, classify(err)
}

// read loads tensor after tensor.
func (l *loader) read(m *model, tensors []tensor) (panels *simd.Memory, err error) {
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
	for i, t := range tensors {
		twin, packs := twins[t.matrix]
		if !packs {
			if err := l.touch(t.data); err != nil {
				return nil, err
			}
			continue
		}
		if err := l.pack(&twin, t); err != nil {
			return nil, err
		}
		*t.matrix = twin
		tensors[i].data = nil // the source may let go of it
		l.release(t.data)
	}
	return mem, nil
}

// place lays out the panels of all matrices that are packed, in the order in
// which a step reads them; gate and up, which are read together, take turns.
func (l *loader) place(m *model, tensors []tensor) (twins map[*simd.Matrix]simd.Matrix, panels *simd.Memory, err error) {
	size := 0
	for _, t := range tensors {
		if l.packs(m, t.matrix) {
			size += roundUp(t.matrix.PanelBytes(), 64)
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
		w := t.matrix
		if _, placed := twins[w]; placed || !l.packs(m, w) {
			continue
		}
		if up := upOf[w]; up != nil && up.Type == w.Type {
			twins[w], twins[up] = l.plan.PanelPair(w, up, take(2*w.PanelBytes()))
		} else {
			twins[w] = l.plan.Panels(w, take(w.PanelBytes()))
		}
	}
	return twins, panels, nil
}

// packs tells whether a matrix is read from panels. Embeddings that are only
// looked up stay where they are.
func (l *loader) packs(m *model, w *simd.Matrix) bool {
	return w != nil && l.plan.Packs(w.Type) && (w != m.embedTokens || w == m.lmHead)
}

// pack fills the panels of a stored matrix.
func (l *loader) pack(packed *simd.Matrix, t tensor) error {
	const few = 4 // panels of a chunk
	n := packed.Panels()
	batch := max(few, n*loadStep/max(loadStep, len(t.data)))
	before := l.done
	for lo := 0; lo < n; lo += batch {
		hi := min(n, lo+batch)
		if err := l.pool.Run(chunks(hi-lo, few), func(_, c int) {
			packed.PackPanels(t.matrix, lo+c*few, min(hi, lo+(c+1)*few))
		}); err != nil {
			return err
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

// report tells how far it is, unless the context has ended.
func (l *loader) report(done int64) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	l.done = done
	l.progress(l.done, l.total)
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
