package weights

import (
	"encoding/binary"
	"math"
)

// Typed getters: each says what it found when the type is another. ok is false
// when the key is absent.

func (g *gguf) str(key string, limit int) (s string, ok bool, err error) {
	v, ok := g.keys[key]
	if !ok {
		return "", false, nil
	}
	if v.typ != kvString {
		return "", true, keyError(key, "is of type %s, expected string", kvName(v.typ))
	}
	if len(v.data) > limit {
		return "", true, keyError(key, "has %d bytes, at most %d are allowed", len(v.data), limit)
	}
	return string(v.data), true, nil
}

// integer reads a key of any integer type as 0 ≤ n ≤ limit. An array of equal
// integers, as files with per-layer values have, counts as one.
func (g *gguf) integer(key string, limit int) (n int, ok bool, err error) {
	v, ok := g.keys[key]
	if !ok {
		return 0, false, nil
	}
	if v.typ != kvArray {
		n, err = v.integer(key, v.typ, v.data, limit)
		return n, true, err
	}
	size := int(kvSizes[v.elem])
	if size == 0 || v.count == 0 {
		return 0, true, keyError(key, "is an array of %d × %s, expected an integer", v.count, kvName(v.elem))
	}
	for i := range v.count {
		m, err := v.integer(key, v.elem, v.data[i*size:(i+1)*size], limit)
		if err != nil {
			return 0, true, err
		}
		if i > 0 && m != n {
			return 0, true, keyError(key, "differs between layers (%d and %d), which is not supported", n, m)
		}
		n = m
	}
	return n, true, nil
}

func (v kv) integer(key string, typ uint32, b []byte, limit int) (int, error) {
	var n int64
	le := binary.LittleEndian
	switch typ {
	case kvU8:
		n = int64(b[0])
	case kvI8:
		n = int64(int8(b[0]))
	case kvU16:
		n = int64(le.Uint16(b))
	case kvI16:
		n = int64(int16(le.Uint16(b)))
	case kvU32:
		n = int64(le.Uint32(b))
	case kvI32:
		n = int64(int32(le.Uint32(b)))
	case kvI64:
		n = int64(le.Uint64(b))
	case kvU64:
		if le.Uint64(b) > math.MaxInt64 {
			return 0, keyError(key, "is %d, expected 0 to %d", le.Uint64(b), limit)
		}
		n = int64(le.Uint64(b))
	default:
		return 0, keyError(key, "is of type %s, expected an integer", kvName(typ))
	}
	if n < 0 || n > int64(limit) {
		return 0, keyError(key, "is %d, expected 0 to %d", n, limit)
	}
	return int(n), nil
}

func (g *gguf) float(key string) (f float64, ok bool, err error) {
	v, ok := g.keys[key]
	switch {
	case !ok:
		return 0, false, nil
	case v.typ == kvF32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v.data))), true, nil
	case v.typ == kvF64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.data)), true, nil
	}
	return 0, true, keyError(key, "is of type %s, expected f32", kvName(v.typ))
}

func (g *gguf) boolean(key string, absent bool) (bool, error) {
	v, ok := g.keys[key]
	if !ok {
		return absent, nil
	}
	if v.typ != kvBool {
		return false, keyError(key, "is of type %s, expected bool", kvName(v.typ))
	}
	return v.data[0] == 1, nil
}

// strings reads an array of strings, at most limit of at most each bytes, and
// maxVocabBytes in all. They share one allocation.
func (g *gguf) strings(key string, limit, each int) (list []string, ok bool, err error) {
	v, ok, err := g.array(key, kvString, limit)
	if !ok || err != nil {
		return nil, ok, err
	}
	if len(v.data) > maxVocabBytes+8*v.count {
		return nil, true, keyError(key, "has %d bytes of strings, at most %d are allowed", len(v.data)-8*v.count, maxVocabBytes)
	}
	all := string(v.data)
	list = make([]string, v.count)
	for i, at := 0, 0; i < v.count; i++ {
		// The parser has proved that every length lies within data, but the file
		// may have been written since.
		if len(v.data)-at < 8 {
			return nil, true, keyError(key, "changed while it was read")
		}
		n := binary.LittleEndian.Uint64(v.data[at:])
		if at += 8; n > uint64(min(each, len(all)-at)) {
			return nil, true, keyError(key, "element %d has %d bytes, at most %d are allowed", i, n, each)
		}
		list[i] = all[at : at+int(n)]
		at += int(n)
	}
	return list, true, nil
}

// array checks element type and count of an array.
func (g *gguf) array(key string, elem uint32, limit int) (v kv, ok bool, err error) {
	v, ok = g.keys[key]
	switch {
	case !ok:
		return v, false, nil
	case v.typ != kvArray:
		err = keyError(key, "is of type %s, expected an array of %s", kvName(v.typ), kvName(elem))
	case v.elem != elem:
		err = keyError(key, "is an array of %s, expected %s", kvName(v.elem), kvName(elem))
	case v.count > limit:
		err = keyError(key, "has %d elements, at most %d are allowed", v.count, limit)
	}
	return v, true, err
}
