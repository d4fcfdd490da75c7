package kernel

import (
	"strings"

	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// commitState is state.commit: everything is checked, then the handle gets
// private weights in one step. The upload ends either way.
func (c *client) commitState(p rpc.CommitParams) (rpc.CommitResult, error) {
	u, err := c.takeUpload(p.Upload)
	if err != nil {
		return rpc.CommitResult{}, err
	}
	r, err := u.compare()
	if err != nil {
		return rpc.CommitResult{}, err
	}
	if err := r.failure(p.Strict); err != nil {
		return rpc.CommitResult{}, err
	}
	if len(r.matched) > 0 {
		style, err := u.style()
		if err != nil {
			return rpc.CommitResult{}, err
		}
		if err := c.replace(u.model, r.matched, style, p.Assign); err != nil {
			return rpc.CommitResult{}, err
		}
	}
	c.svc.touch()
	return rpc.CommitResult{Missing: r.missing, Unexpected: r.unexpected}, nil
}

// replace gives the handle a private instance with the matched tensors.
func (c *client) replace(m *model, matched []*uploaded, style dictStyle, assign bool) error {
	old, err := m.instance()
	if err != nil {
		return err
	}
	defer old.release()
	base := old.overlay()
	from := weights.Halves
	if style.naming == weights.Meta {
		from = weights.Interleaved
	}
	if err := c.svc.memory(castBytes(m.cfg, base, matched, assign)); err != nil {
		return err
	}
	views := map[string]weights.View{}
	for _, t := range matched {
		name := t.parameter(m.cfg)
		dtype := storedType(base.paramType(name), t.dtype, assign)
		data := castFloats(dtype, t.dtype, t.data)
		t.data = nil
		if isQK(name) && from != base.QKOrder() {
			data = reorderQK(data, t.shape[0], m.cfg.HeadDim, base.QKOrder())
		}
		views[name] = weights.View{Name: t.key, DType: dtype, Shape: t.shape, Data: data}
	}
	in := &instance{
		reg: old.reg, cfg: old.cfg, private: true, precision: old.precision, quantize: old.quantize, threads: old.threads,
		maxBatch: old.maxBatch, maxSeqLen: old.maxSeqLen, opening: make(chan struct{}, 1), refs: 1,
		src: base.with(views),
	}
	return m.exchange(in)
}

// overlay is the instance's source as an overlay; the caller holds in.
func (in *instance) overlay() *overlay {
	if o, ok := in.src.(*overlay); ok {
		return o
	}
	return newOverlay(in.cfg, in.src, 0, in)
}

// parameter is the canonical name of the parameter that a matched key sets.
func (t *uploaded) parameter(cfg weights.Config) string {
	if isTiedHead(cfg, t.canonical) {
		return embedName
	}
	return t.canonical
}

// storedType is the type that a parameter gets: its own, as torch's copy_
// does, or with assign the given one. float64 is stored as float32, and a
// parameter in a block type takes the given type: these are the weights that a
// quantizing backend reads.
func storedType(param weights.DType, given string, assign bool) weights.DType {
	if !assign && (param == weights.F32 || param == weights.F16 || param == weights.BF16) {
		return param
	}
	if d, ok := plainTypes[given]; ok {
		return d
	}
	return weights.F32
}

func isQK(name string) bool {
	return strings.HasSuffix(name, ".self_attn.q_proj.weight") || strings.HasSuffix(name, ".self_attn.k_proj.weight")
}

// castBytes is the memory that conversion and reordering take at most beside
// the upload itself.
func castBytes(cfg weights.Config, base *overlay, matched []*uploaded, assign bool) int64 {
	n := checked.Of(0)
	for _, t := range matched {
		dtype := storedType(base.paramType(t.parameter(cfg)), t.dtype, assign)
		if plainTypes[t.dtype] == dtype && !isQK(t.canonical) {
			continue
		}
		n = n.Add(shapeSize(t.shape).Mul(checked.Of(int64(dtype.BlockBytes()))))
	}
	b, _ := n.Int64()
	return b
}
