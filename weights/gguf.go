package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/llama-go/llama-go/internal/checked"
)

// gguf is a parsed GGUF file (ggml docs/gguf.md): its key-value pairs, still as
// they lie in the file, and its tensors.
type gguf struct {
	decoded *GGUFVocab // by vocab
	keys    map[string]kv
	tensors []rawTensor
}

// kv is one value, its bytes proved to be there. For arrays elem and count are
// set and data holds the elements.
type kv struct {
	typ, elem uint32
	count     int
	data      []byte
}

// cursor reads little-endian values and never beyond data.
type cursor struct {
	data []byte
	off  int
}

func (c *cursor) fail(format string, args ...any) error {
	return &Error{Kind: KindCheckpoint, Where: fmt.Sprintf("byte %d", c.off), Msg: fmt.Sprintf(format, args...)}
}

func (c *cursor) left() int { return len(c.data) - c.off }

// take returns the next n bytes.
func (c *cursor) take(n uint64, what string) ([]byte, error) {
	if n > uint64(c.left()) {
		return nil, c.fail("%s of %d bytes, but only %d are left: the file is cut short", what, n, c.left())
	}
	b := c.data[c.off : c.off+int(n) : c.off+int(n)]
	c.off += int(n)
	return b, nil
}

func (c *cursor) u32(what string) (uint32, error) {
	b, err := c.take(4, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) u64(what string) (uint64, error) {
	b, err := c.take(8, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a u64 that says how many records of at least size bytes follow.
func (c *cursor) count(what string, size, limit int) (int, error) {
	n, err := c.u64("number of " + what)
	if err != nil {
		return 0, err
	}
	if n > uint64(limit) {
		return 0, c.fail("%d %s, at most %d are allowed", n, what, limit)
	}
	if n > uint64(c.left()/size) {
		return 0, c.fail("%d %s, but only %d bytes are left: the file is cut short", n, what, c.left())
	}
	return int(n), nil
}

// bytes reads a string: u64 length, then the bytes.
func (c *cursor) bytes(what string, limit int) ([]byte, error) {
	n, err := c.u64("length of " + what)
	if err != nil {
		return nil, err
	}
	if n > uint64(limit) {
		return nil, c.fail("%s of %d bytes, at most %d are allowed", what, n, limit)
	}
	return c.take(n, what)
}

// name reads a key or tensor name.
func (c *cursor) name(what string, limit int) (string, error) {
	b, err := c.bytes(what, limit)
	if err != nil {
		return "", err
	}
	name := string(b)
	if name == "" || !utf8.ValidString(name) {
		return "", c.fail("%s %q is empty or not valid UTF-8", what, clip(name))
	}
	return name, nil
}

// Smallest records: a key is at least a length, a type and a value of one byte;
// a tensor a length, a rank, a type and an offset.
const (
	minKeyRecord    = 8 + 4 + 1
	minTensorRecord = 8 + 4 + 4 + 8
)

// parseGGUF reads all of a GGUF file but the tensors' data, whose places it
// checks.
func parseGGUF(data []byte) (*gguf, error) {
	c := &cursor{data: data}
	magic, err := c.take(4, "magic")
	if err != nil {
		return nil, err
	}
	if string(magic) != "GGUF" {
		return nil, c.fail("magic %q, expected \"GGUF\"", magic)
	}
	version, err := c.u32("version")
	if err != nil {
		return nil, err
	}
	switch {
	case version&0xffff == 0 && version != 0:
		return nil, c.fail("version %#x: a big-endian GGUF file, only little-endian ones are read", version)
	case version != 2 && version != 3:
		return nil, c.fail("GGUF version %d, expected 2 or 3", version)
	}
	ntensors, err := c.count("tensors", minTensorRecord, maxTensors)
	if err != nil {
		return nil, err
	}
	nkeys, err := c.count("keys", minKeyRecord, maxGGUFKeys)
	if err != nil {
		return nil, err
	}
	g := &gguf{keys: map[string]kv{}}
	for range nkeys {
		key, err := c.name("key", maxGGUFKeyBytes)
		if err != nil {
			return nil, err
		}
		if _, ok := g.keys[key]; ok {
			return nil, c.fail("duplicate key %q", clip(key))
		}
		if g.keys[key], err = c.value(key); err != nil {
			return nil, err
		}
	}
	align, err := g.alignment()
	if err != nil {
		return nil, err
	}
	return g, g.readTensors(c, ntensors, align)
}

// value reads the type and the value of a key.
func (c *cursor) value(key string) (v kv, err error) {
	if v.typ, err = c.u32("type of a value"); err != nil {
		return v, err
	}
	switch {
	case v.typ == kvString:
		v.data, err = c.bytes("string", math.MaxInt)
	case v.typ == kvArray:
		err = c.arrayValue(key, &v)
	case int(v.typ) < len(kvSizes):
		v.data, err = c.take(uint64(kvSizes[v.typ]), "value")
	default:
		err = c.fail("key %q has unknown type %d", clip(key), v.typ)
	}
	if err == nil && v.typ == kvBool && v.data[0] > 1 {
		err = c.fail("key %q is a bool of value %d", clip(key), v.data[0])
	}
	return v, err
}

func (c *cursor) arrayValue(key string, v *kv) (err error) {
	if v.elem, err = c.u32("type of an array's elements"); err != nil {
		return err
	}
	if v.elem == kvString {
		if v.count, err = c.count("strings", 8, math.MaxInt); err != nil {
			return err
		}
		start := c.off
		for range v.count {
			if _, err = c.bytes("string", math.MaxInt); err != nil {
				return err
			}
		}
		v.data = c.data[start:c.off:c.off]
		return nil
	}
	if int(v.elem) >= len(kvSizes) || kvSizes[v.elem] == 0 {
		return c.fail("key %q is an array of %s, expected numbers, bools or strings", clip(key), kvName(v.elem))
	}
	if v.count, err = c.count("array elements", int(kvSizes[v.elem]), math.MaxInt); err != nil {
		return err
	}
	size, _ := checked.Of(int64(v.count)).Mul(checked.Of(kvSizes[v.elem])).Int64() // no larger than the file: count has said so
	v.data, err = c.take(uint64(size), "array")
	return err
}

// alignment is general.alignment, 32 when absent.
func (g *gguf) alignment() (checked.Size, error) {
	v, ok := g.keys["general.alignment"]
	if !ok {
		return checked.Of(32), nil
	}
	if v.typ != kvU32 {
		return checked.Size{}, keyError("general.alignment", "is of type %s, expected u32", kvName(v.typ))
	}
	n := binary.LittleEndian.Uint32(v.data)
	if n == 0 || n > maxAlignment || n&(n-1) != 0 {
		return checked.Size{}, keyError("general.alignment", "is %d, expected a power of two from 1 to %d", n, maxAlignment)
	}
	return checked.Of(int64(n)), nil
}

func keyError(key, format string, args ...any) error {
	return &Error{Kind: KindCheckpoint, Where: key, Msg: fmt.Sprintf(format, args...)}
}

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
