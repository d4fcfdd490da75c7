package weights

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/llama-go/llama-go/internal/checked"
)

// rawTensor is a tensor as a file declares it, its place proved to lie inside
// the file.
type rawTensor struct {
	View
	typeName string // the file's word for its type; DType is 0 when we cannot compute from it
}

// safetensorBits are the bits of one element of each type that the format
// knows (huggingface/safetensors src/tensor.rs, Dtype). The layout of a file is
// checked whatever its types; only needed tensors must be of a type in dtypes.
var safetensorBits = map[string]int64{
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}

var safetensorTypes = map[string]DType{"F32": F32, "F16": F16, "BF16": BF16}

// span is a tensor's place in the data section.
type span struct {
	rawTensor
	start, end int64
}

// parseSafetensors reads the header of a whole file and returns its tensors in
// the order of their data. The format: u64 header length n, n bytes of JSON,
// then the data, which the tensors fill without hole or overlap.
func parseSafetensors(data []byte) ([]rawTensor, error) {
	fail := func(format string, args ...any) error {
		return &Error{Kind: KindCheckpoint, Msg: fmt.Sprintf(format, args...)}
	}
	if len(data) < 8 {
		return nil, fail("has %d bytes, a safetensors file has at least 8", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeaderBytes {
		return nil, fail("header of %d bytes, at most %d are allowed", n, maxHeaderBytes)
	}
	if n > uint64(len(data)-8) {
		return nil, fail("header of %d bytes, but only %d bytes follow: the file is cut short", n, len(data)-8)
	}
	if n == 0 || data[8] != '{' {
		return nil, fail("the header does not start with '{': not a safetensors file")
	}
	header, body := data[8:8+n], data[8+n:]
	s := &scanner{data: header, base: 8, kind: KindCheckpoint}
	spans, err := headerSpans(s)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(spans)) // of the data; the header's where tensors are empty
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &spans[i], &spans[j]
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(i, j))
	})
	tensors := make([]rawTensor, len(spans))
	end := int64(0)
	for i, at := range order {
		t := &spans[at]
		if t.start != end {
			what := "a hole before it"
			if t.start < end {
				what = "it overlaps another tensor"
			}
			return nil, s.tensorError(t, "data starts at %d, expected %d: %s", t.start, end, what)
		}
		if t.end > int64(len(body)) {
			return nil, s.tensorError(t, "data ends at %d, the file has %d bytes of data: it is cut short", t.end, len(body))
		}
		t.Data = body[t.start:t.end:t.end]
		tensors[i], end = t.rawTensor, t.end
	}
	if end != int64(len(body)) {
		return nil, fail("the tensors end at %d, the file has %d bytes of data", end, len(body))
	}
	return tensors, nil
}

func (s *scanner) tensorError(t *span, format string, args ...any) error {
	return &Error{Kind: s.kind, Where: fmt.Sprintf("tensor %q", clip(t.Name)), Msg: fmt.Sprintf(format, args...)}
}

func headerSpans(s *scanner) ([]span, error) {
	var spans []span
	err := s.object(maxTensors+1, maxNameBytes, func(name string) error {
		if name == "__metadata__" {
			return s.object(maxMetadata, maxNameBytes, func(string) error {
				_, _, err := s.rawString()
				return err
			})
		}
		if len(spans) == maxTensors {
			return s.fail(s.pos, "more than %d tensors", maxTensors)
		}
		t, err := s.tensor(name)
		spans = append(spans, t)
		return err
	})
	if err == nil {
		err = s.end()
	}
	return spans, err
}

// tensor reads {"dtype": …, "shape": […], "data_offsets": [start, end]}.
func (s *scanner) tensor(name string) (span, error) {
	t := span{}
	t.Name = name
	var dims [maxRank]int64
	var offsets [2]int64
	rank, found := 0, 0
	err := s.object(3, 16, func(key string) error {
		found++
		switch key {
		case "dtype":
			word, err := s.str(16)
			t.typeName = word
			return err
		case "shape":
			return s.array(func(i int) (err error) {
				if i >= maxRank {
					return s.fail(s.pos, "tensor %q has more than %d dimensions", clip(name), maxRank)
				}
				dims[i], err = s.integer(math.MaxInt64)
				rank = i + 1
				return err
			})
		case "data_offsets":
			n := 0
			err := s.array(func(i int) (err error) {
				if n++; n > 2 {
					return s.fail(s.pos, "tensor %q has more than 2 data_offsets", clip(name))
				}
				offsets[i], err = s.integer(math.MaxInt64)
				return err
			})
			if err == nil && n != 2 {
				err = s.fail(s.pos, "tensor %q has %d data_offsets, expected 2", clip(name), n)
			}
			return err
		}
		return s.fail(s.pos, "tensor %q has an unknown field %q", clip(name), clip(key))
	})
	if err != nil {
		return t, err
	}
	if found != 3 {
		return t, s.fail(s.pos, "tensor %q has %d fields, expected dtype, shape and data_offsets", clip(name), found)
	}
	t.start, t.end = offsets[0], offsets[1]
	return t, s.layout(&t, dims[:rank])
}

// layout checks that the declared bytes are what shape and type need.
func (s *scanner) layout(t *span, dims []int64) error {
	bits, ok := safetensorBits[t.typeName]
	if !ok {
		return s.tensorError(t, "unknown dtype %q", clip(t.typeName))
	}
	t.DType = safetensorTypes[t.typeName]
	size, ok := checked.Product(dims...).Mul(checked.Of(bits)).Div(checked.Of(8)).Int64()
	if !ok {
		return s.tensorError(t, "shape %v of %s has no size in bytes", dims, t.typeName)
	}
	if t.end < t.start || t.end-t.start != size {
		return s.tensorError(t, "data_offsets [%d, %d] hold %d bytes, shape %v of %s needs %d",
			t.start, t.end, t.end-t.start, dims, t.typeName, size)
	}
	t.Shape = make([]int, len(dims))
	for i, d := range dims {
		// A dimension beside a zero one may be larger than an int; it holds no data.
		if t.Shape[i], ok = checked.Of(d).Int(); !ok {
			return s.tensorError(t, "dimension %d is too large", d)
		}
	}
	return nil
}
