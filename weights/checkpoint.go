package weights

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// files is the Source of mapped files.
type files struct {
	names   []string
	views   map[string]View
	order   QKOrder
	factors []float32
	maps    *mappings
	closed  atomic.Bool
}

func (f *files) Names() []string        { return f.names }
func (f *files) QKOrder() QKOrder       { return f.order }
func (f *files) RopeFactors() []float32 { return f.factors }

func (f *files) Tensor(name string) (View, bool) {
	if f.closed.Load() {
		return View{}, false
	}
	v, ok := f.views[name]
	return v, ok
}

func (f *files) Close() error {
	f.closed.Store(true)
	return f.maps.close()
}

// bind chooses from the tensors of the files those that the config implies and
// checks them completely: presence, shape, type, and that no name comes twice.
// strict refuses tensors that the config does not imply; else they are named in
// ignored.
func bind(c Config, tensors []rawTensor, naming Naming, strict bool) (src *files, ignored []string, err error) {
	byName := make(map[string]rawTensor, len(tensors))
	src = &files{views: map[string]View{}}
	var order []string
	for _, t := range tensors {
		canonical, family, ok := CanonicalName(t.Name)
		if !ok || naming == GGUF && family != GGUF && family != AnyNaming || naming != GGUF && family == GGUF {
			if Ignorable(t.Name) || naming == GGUF && t.Name == "rope_freqs.weight" {
				continue
			}
			if strict {
				return nil, nil, tensorError(t.Name, "is not one that the config implies", "the config does not belong to these weights, or the architecture is not a plain Llama")
			}
			ignored = append(ignored, fmt.Sprintf("tensor %q is not one that the config implies", clip(t.Name)))
			continue
		}
		if family != AnyNaming && family != naming {
			if naming != AnyNaming {
				return nil, nil, tensorError(t.Name, fmt.Sprintf("is named as %s does, others as %s", family, naming), "")
			}
			naming = family
		}
		if have, ok := byName[canonical]; ok {
			return nil, nil, tensorError(t.Name, fmt.Sprintf("is the same as %q", clip(have.Name)), "")
		}
		byName[canonical] = t
		order = append(order, canonical)
	}
	if naming != HF && naming != AnyNaming {
		src.order = Interleaved
	}
	for _, want := range TensorShapes(c) {
		t, ok := byName[want.Name]
		if !ok {
			return nil, nil, tensorError(nameIn(naming, want.Name), fmt.Sprintf("is missing; the config implies one of shape %v", want.Shape), missingHint(want.Name))
		}
		if err := fits(t, want); err != nil {
			return nil, nil, err
		}
		src.views[want.Name] = t.View
	}
	for _, name := range order {
		if _, ok := src.views[name]; ok {
			src.names = append(src.names, name)
		} else if name != "lm_head.weight" { // left out: the embedding is the output
			if strict {
				return nil, nil, tensorError(byName[name].Name, fmt.Sprintf("is not one that the config implies (%d layers)", c.NumHiddenLayers), "")
			}
			ignored = append(ignored, fmt.Sprintf("tensor %q is not one that the config implies", clip(byName[name].Name)))
		}
	}
	return src, ignored, nil
}

func missingHint(canonical string) string {
	if canonical == "lm_head.weight" {
		return "if the embedding is the output, the config says tie_word_embeddings: true"
	}
	return "the config does not belong to these weights, or files are missing"
}

// fits checks shape and type of a tensor.
func fits(t rawTensor, want TensorShape) error {
	if !slices.Equal(t.Shape, want.Shape) {
		return tensorError(t.Name, fmt.Sprintf("has shape %v, the config implies %v", t.Shape, want.Shape), "the config does not belong to these weights")
	}
	if t.DType == 0 {
		return tensorError(t.Name, fmt.Sprintf("is %s, supported are %s", t.typeName, supported()), "convert the model to one of these types")
	}
	if len(want.Shape) == 1 && t.DType.BlockSize() != 1 {
		return tensorError(t.Name, fmt.Sprintf("is %s, a norm must be F32, F16 or BF16", t.typeName), "")
	}
	return nil
}

func tensorError(name, msg, hint string) error {
	return &Error{Kind: KindCheckpoint, Where: fmt.Sprintf("tensor %q", clip(name)), Msg: msg, Help: hint}
}

func nameIn(n Naming, canonical string) string {
	switch n {
	case Meta:
		return MetaName(canonical)
	case GGUF:
		return GGUFName(canonical)
	}
	return canonical
}

// mainType is the stored type of most weights, as Config.DType has it.
func (f *files) mainType() string {
	var bytes [len(dtypes)]int
	best := F32
	for _, v := range f.views {
		bytes[v.DType] += len(v.Data)
		if bytes[v.DType] > bytes[best] {
			best = v.DType
		}
	}
	switch best {
	case F32:
		return "float32"
	case F16:
		return "float16"
	case BF16:
		return "bfloat16"
	}
	return best.String()
}
