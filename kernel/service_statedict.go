package kernel

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

const (
	embedName = "model.embed_tokens.weight"
	headName  = "lm_head.weight"
)

// isTiedHead reports whether a key is the output of a model that shares it
// with the embedding: it may come, and is the same parameter.
func isTiedHead(cfg weights.Config, canonical string) bool {
	return cfg.TieWordEmbeddings && canonical == headName
}

// stateReport is what a state dict and a model have to do with each other.
type stateReport struct {
	missing, unexpected []string // in the dict's own naming
	problems            []string // that are errors even when not strict
	matched             []*uploaded
}

// compare checks a complete upload against the model. mix is an error: keys of
// two namings in one dict.
func (u *upload) compare() (*stateReport, error) {
	style, err := u.style()
	if err != nil {
		return nil, err
	}
	r := &stateReport{missing: []string{}, unexpected: []string{}}
	byName := map[string]*uploaded{}
	for _, key := range u.order {
		t := u.tensors[key]
		if t.got != t.total {
			return nil, requestError("send the rest before the commit", "%.200q: %d of %d bytes have come", key, t.got, t.total)
		}
		_, wanted := u.shapes[t.canonical]
		switch {
		case weights.Ignorable(key):
		case !wanted && !isTiedHead(u.model.cfg, t.canonical):
			r.unexpected = append(r.unexpected, key)
		case byName[t.canonical] != nil:
			r.problems = append(r.problems, fmt.Sprintf("%q and %q name the same parameter.", byName[t.canonical].key, key))
		default:
			byName[t.canonical] = t
		}
	}
	for _, p := range weights.TensorShapes(u.model.cfg) {
		t := byName[p.Name]
		if t == nil {
			r.missing = append(r.missing, style.name(p.Name))
			continue
		}
		r.match(t, p.Shape)
	}
	if t := byName[headName]; t != nil && isTiedHead(u.model.cfg, headName) {
		r.match(t, u.shapes[embedName]) // last: it overwrites the embedding, as in torch
	}
	return r, nil
}

// match checks one key that the model has.
func (r *stateReport) match(t *uploaded, want []int) {
	switch {
	case !sameShape(t.shape, want):
		r.problems = append(r.problems, fmt.Sprintf(
			"size mismatch for %s: copying a param with shape %s from checkpoint, the shape in current model is %s.",
			t.key, torchSize(t.shape), torchSize(want)))
	case !isFloat(t.dtype):
		r.problems = append(r.problems, fmt.Sprintf(
			"While copying the parameter named %q, expected a floating-point tensor from checkpoint but received %s", t.key, t.dtype))
	default:
		r.matched = append(r.matched, t)
	}
}

func torchSize(shape []int) string {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	return "torch.Size([" + strings.Join(dims, ", ") + "])"
}

// failure is torch's RuntimeError, or nil.
func (r *stateReport) failure(strict bool) error {
	var parts []string
	if strict && len(r.missing) > 0 {
		parts = append(parts, "Missing key(s) in state_dict: "+quoted(r.missing)+". ")
	}
	if strict && len(r.unexpected) > 0 {
		parts = append(parts, "Unexpected key(s) in state_dict: "+quoted(r.unexpected)+". ")
	}
	parts = append(parts, r.problems...)
	if len(parts) == 0 {
		return nil
	}
	return kindError(rpc.KindStateDict, "", "Error(s) in loading state_dict for Transformer:\n\t%s", strings.Join(parts, "\n\t"))
}

func quoted(keys []string) string {
	q := make([]string, len(keys))
	for i, k := range keys {
		q[i] = `"` + k + `"`
	}
	return strings.Join(q, ", ")
}

// dictStyle is how a dict writes its keys.
type dictStyle struct {
	naming weights.Naming
	prefix string // of a training wrapper, before every name
	bare   bool   // Hugging Face's names without "model."
}

// style detects the naming of the dict. A dict that says nothing has Meta's,
// as the model's own state_dict does.
func (u *upload) style() (dictStyle, error) {
	first := map[weights.Naming]string{}
	s := dictStyle{naming: weights.Meta}
	seen := false
	for _, key := range u.order {
		t := u.tensors[key]
		if t.canonical == "" || u.shapes[t.canonical] == nil || weights.Ignorable(key) {
			continue
		}
		if t.naming != weights.AnyNaming {
			if _, ok := first[t.naming]; !ok {
				first[t.naming] = key
			}
		}
		if seen || t.naming == weights.AnyNaming || t.canonical == headName {
			continue
		}
		s.naming, seen = t.naming, true
		want := t.canonical
		if t.naming == weights.Meta {
			want = weights.MetaName(t.canonical)
		}
		rest, ok := strings.CutSuffix(key, want)
		if !ok {
			rest, s.bare = strings.TrimSuffix(key, strings.TrimPrefix(want, "model.")), true
		}
		s.prefix = rest
	}
	if m, hf := first[weights.Meta], first[weights.HF]; m != "" && hf != "" {
		return s, kindError(rpc.KindStateDict, "rename the keys to one of the two",
			"Error(s) in loading state_dict for Transformer:\n\tthe keys mix Meta's names (%q) and Hugging Face's (%q).", m, hf)
	}
	return s, nil
}

// name writes a canonical name as the dict would.
func (s dictStyle) name(canonical string) string {
	switch {
	case s.naming == weights.Meta:
		canonical = weights.MetaName(canonical)
	case s.bare:
		canonical = strings.TrimPrefix(canonical, "model.")
	}
	return s.prefix + canonical
}

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
		reg: old.reg, cfg: old.cfg, private: true, precision: old.precision, threads: old.threads,
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
// parameter in a block type takes the given type, for nothing is quantized here.
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
