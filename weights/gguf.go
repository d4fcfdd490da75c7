package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
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
	n, err := c.u64("length")
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

// keyError is of the kind of what the key says: tokenizer, config, or the file.
func keyError(key, format string, args ...any) error {
	kind := KindCheckpoint
	switch {
	case strings.HasPrefix(key, "tokenizer."):
		kind = KindTokenizer
	case strings.HasPrefix(key, "llama."), key == "general.architecture":
		kind = KindConfig
	}
	return &Error{Kind: kind, Where: key, Msg: fmt.Sprintf(format, args...)}
}
