package kernel

import (
	"fmt"
	"strconv"
	"strings"

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
