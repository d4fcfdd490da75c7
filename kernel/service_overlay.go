package kernel

import (
	"context"
	"maps"
	"slices"

	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/weights"
)

// overlay is the Source of a private model: tensors that load_state_dict put
// there, over those of a base that may be made at first use or lie in another
// model's files.
type overlay struct {
	names    []string
	shapes   map[string][]int
	base     weights.Source
	dtype    weights.DType // of base's tensors; 0: ask each
	replaced map[string]weights.View
	owner    *instance // whose files base lies in; nil: nobody's
	held     bool      // the overlay has a reference to owner
}

// newOverlay lies over base and holds nothing: it serves as long as its caller
// holds base. With makes one that lasts.
func newOverlay(cfg weights.Config, base weights.Source, dtype weights.DType, owner *instance) *overlay {
	o := &overlay{base: base, dtype: dtype, shapes: map[string][]int{}, replaced: map[string]weights.View{}, owner: owner}
	for _, t := range weights.TensorShapes(cfg) {
		o.names = append(o.names, t.Name)
		o.shapes[t.Name] = t.Shape
	}
	return o
}

// with is o with more tensors replaced, over the same base, which it holds; once
// all are replaced it needs no base.
func (o *overlay) with(replaced map[string]weights.View) *overlay {
	n := *o
	n.replaced = maps.Clone(o.replaced)
	maps.Copy(n.replaced, replaced)
	if len(n.replaced) == len(n.names) {
		n.base, n.owner, n.held = noTensors{o.QKOrder(), slices.Clone(o.RopeFactors())}, nil, false
	}
	if n.owner != nil {
		n.owner.acquire()
		n.held = true
	}
	return &n
}

// noTensors is a base that nothing is read from.
type noTensors struct {
	order   weights.QKOrder
	factors []float32 // (headDim/2,) or nil
}

func (noTensors) Names() []string                    { return nil }
func (noTensors) Tensor(string) (weights.View, bool) { return weights.View{}, false }
func (n noTensors) QKOrder() weights.QKOrder         { return n.order }
func (n noTensors) RopeFactors() []float32           { return n.factors }
func (noTensors) Close() error                       { return nil }

// Names implements weights.Source.
func (o *overlay) Names() []string { return slices.Clone(o.names) }

// Tensor implements weights.Source.
func (o *overlay) Tensor(name string) (weights.View, bool) {
	if v, ok := o.replaced[name]; ok {
		return v, true
	}
	return o.base.Tensor(name)
}

// paramType is the stored type of a parameter, without making it.
func (o *overlay) paramType(name string) weights.DType {
	if v, ok := o.replaced[name]; ok {
		return v.DType
	}
	if o.dtype != 0 {
		return o.dtype
	}
	v, _ := o.base.Tensor(name)
	return v.DType
}

// QKOrder implements weights.Source.
func (o *overlay) QKOrder() weights.QKOrder { return o.base.QKOrder() }

// RopeFactors implements weights.Source.
func (o *overlay) RopeFactors() []float32 { return o.base.RopeFactors() }

// KeptType is the type of a tensor that was put there or lies in files: it stays
// when a backend has copied it.
func (o *overlay) KeptType(name string) weights.DType {
	if v, ok := o.replaced[name]; ok {
		return v.DType
	}
	if o.dtype != 0 { // a base that makes it anew when asked
		return 0
	}
	v, _ := o.base.Tensor(name)
	return v.DType
}

// WeightBytes is what the tensors take that are not in memory yet.
func (o *overlay) WeightBytes() int64 {
	if o.dtype == 0 {
		return 0 // a base in files
	}
	n := checked.Of(0)
	for _, name := range o.names {
		if _, ok := o.replaced[name]; !ok {
			n = n.Add(shapeSize(o.shapes[name]).Mul(checked.Of(int64(o.dtype.BlockBytes()))))
		}
	}
	b, _ := n.Int64() // model.new has checked that it fits
	return b
}

// Changed tells whether the files below were written since they were opened.
func (o *overlay) Changed() error { return weights.Changed(o.base) }

// Release implements what a backend tells its source of tensors that it has
// copied: a base may let go of them.
func (o *overlay) Release(data []byte) {
	if base, ok := o.base.(interface{ Release(data []byte) }); ok {
		base.Release(data)
	}
}

func shapeSize(shape []int) checked.Size {
	n := checked.Of(1)
	for _, d := range shape {
		n = n.Mul(checked.Of(int64(d)))
	}
	return n
}

// Materialize makes the tensors that are not in memory yet; ctx may end it.
func (o *overlay) Materialize(ctx context.Context, progress func(done, total int64)) error {
	if lazy, ok := o.base.(interface {
		Materialize(context.Context, func(done, total int64)) error
	}); ok && len(o.replaced) == 0 {
		return lazy.Materialize(ctx, progress)
	}
	total, done := o.WeightBytes(), int64(0)
	for _, name := range o.names {
		if _, ok := o.replaced[name]; ok || o.dtype == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		v, _ := o.base.Tensor(name)
		done += int64(len(v.Data))
		if progress != nil {
			progress(done, total)
		}
	}
	return nil
}

// borrowed is an overlay that its user may close: the instance keeps it.
type borrowed struct{ *overlay }

func (borrowed) Close() error { return nil }

// Close implements weights.Source.
func (o *overlay) Close() error {
	if o.held {
		o.owner.release()
	}
	return nil
}
