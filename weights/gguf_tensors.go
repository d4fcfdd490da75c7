package weights

import (
	"fmt"
	"slices"

	"github.com/llama-go/llama-go/internal/checked"
)

// declared is a tensor's record in the header.
type declared struct {
	rawTensor
	offset, size checked.Size
}

// readTensors reads n records and proves that each tensor's data lies in the
// data section. As in ggml, data comes in the order of the records, each tensor
// at the next multiple of the alignment.
func (g *gguf) readTensors(c *cursor, n int, align checked.Size) error {
	list := make([]declared, 0, n) // n is at most what the file has room for
	seen := map[string]struct{}{}
	for range n {
		d, err := c.tensor()
		if err != nil {
			return err
		}
		if _, ok := seen[d.Name]; ok {
			return c.fail("duplicate tensor %q", clip(d.Name))
		}
		seen[d.Name] = struct{}{}
		list = append(list, d)
	}
	if n == 0 {
		return nil // a vocabulary alone
	}
	base := checked.Of(int64(c.off)).AlignUp(align)
	total := checked.Of(int64(len(c.data)))
	next := checked.Of(0)
	g.tensors = make([]rawTensor, 0, n)
	for _, d := range list {
		fail := func(format string, args ...any) error {
			return &Error{Kind: KindCheckpoint, Where: fmt.Sprintf("tensor %q", clip(d.Name)), Msg: fmt.Sprintf(format, args...)}
		}
		if d.offset != next {
			return fail("data starts at %s, expected %s", sizeText(d.offset), sizeText(next))
		}
		start := base.Add(d.offset)
		end := start.Add(d.size)
		if !end.LE(total) {
			return fail("data ends at %s, the file has %d bytes: it is cut short", sizeText(end), len(c.data))
		}
		from, _ := start.Int() // both are within the file, whose length is an int
		to, _ := end.Int()
		d.Data = c.data[from:to:to]
		g.tensors = append(g.tensors, d.rawTensor)
		next = d.offset.Add(d.size).AlignUp(align)
	}
	return nil
}

func sizeText(s checked.Size) string {
	if n, ok := s.Int64(); ok {
		return fmt.Sprint(n)
	}
	return "more than 2^63"
}

// tensor reads one record: name, rank, dimensions (innermost first), type,
// offset.
func (c *cursor) tensor() (d declared, err error) {
	if d.Name, err = c.name("tensor name", maxNameBytes); err != nil {
		return d, err
	}
	rank, err := c.u32("rank")
	if err != nil {
		return d, err
	}
	if rank > maxGGUFRank {
		return d, c.fail("tensor %q has %d dimensions, at most %d are allowed", clip(d.Name), rank, maxGGUFRank)
	}
	elements := checked.Of(1)
	d.Shape = make([]int, rank)
	for i := range d.Shape {
		n, err := c.u64("dimension")
		if err != nil {
			return d, err
		}
		dim, ok := checked.OfU(n).Int()
		if elements = elements.Mul(checked.OfU(n)); !ok {
			return d, c.fail("tensor %q has a dimension of %d", clip(d.Name), n)
		}
		d.Shape[i] = dim
	}
	id, err := c.u32("tensor type")
	if err != nil {
		return d, err
	}
	offset, err := c.u64("tensor offset")
	if err != nil {
		return d, err
	}
	typ, ok := ggmlTypes[id]
	if !ok {
		return d, c.fail("tensor %q has unknown type %d, supported are %s", clip(d.Name), id, supported())
	}
	if row := append(d.Shape, 1)[0]; int64(row)%typ.block != 0 {
		return d, c.fail("tensor %q has rows of %d elements, %s needs a multiple of %d", clip(d.Name), row, typ.name, typ.block)
	}
	d.typeName, d.DType = typ.name, typ.dtype
	d.offset = checked.OfU(offset)
	d.size = elements.Div(checked.Of(typ.block)).Mul(checked.Of(typ.bytes))
	if _, ok := d.size.Int64(); !ok {
		return d, c.fail("tensor %q of dimensions %v has no size in bytes", clip(d.Name), d.Shape)
	}
	slices.Reverse(d.Shape) // ours: outermost first
	return d, nil
}
