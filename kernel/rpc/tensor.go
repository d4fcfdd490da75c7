package rpc

import (
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/llama-go/llama-go/internal/checked"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxRank is the most dimensions that a tensor on the wire may have.
const maxRank = 8

// dtypeSizes are the bytes of one element, by the name that numpy and torch
// use.
var dtypeSizes = map[string]int64{
	"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
	"int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}

// DTypeSize is the bytes of one element of a type's name on the wire.
func DTypeSize(dtype string) (int64, bool) {
	n, ok := dtypeSizes[dtype]
	return n, ok
}

// TensorBytes is the size of a dense tensor, or an error that names what is
// wrong with dtype or shape.
func TensorBytes(dtype string, shape []int) (int64, error) {
	size, ok := dtypeSizes[dtype]
	if !ok {
		return 0, fmt.Errorf("dtype %q is unknown, expected float64, float32, float16, bfloat16 or an integer type", dtype)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("shape has %d dimensions, at most %d are allowed", len(shape), maxRank)
	}
	n := checked.Of(size)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		n = n.Mul(checked.Of(int64(d)))
	}
	b, ok := n.Int64()
	if !ok {
		return 0, fmt.Errorf("shape %v of %s does not fit 63 bits", shape, dtype)
	}
	return b, nil
}

// Describe is the Tensor of a buffer that will be the index-th of its message.
func Describe(index int, dtype string, shape []int, data []byte) Tensor {
	return Tensor{Buffer: index, DType: dtype, Shape: slices.Clone(shape), Bytes: int64(len(data)), CRC32C: crc32.Checksum(data, castagnoli)}
}

// Take returns the buffer that t describes, after it has checked index, size,
// type, shape and checksum.
func (t Tensor) Take(buffers [][]byte) ([]byte, error) {
	if t.Buffer < 0 || t.Buffer >= len(buffers) {
		return nil, fmt.Errorf("tensor names buffer %d, the message has %d", t.Buffer, len(buffers))
	}
	b := buffers[t.Buffer]
	if int64(len(b)) != t.Bytes {
		return nil, fmt.Errorf("buffer %d has %d bytes, its description says %d", t.Buffer, len(b), t.Bytes)
	}
	if t.Bytes > MaxBuffer {
		return nil, fmt.Errorf("buffer %d has %d bytes, at most %d are allowed: send it in pieces", t.Buffer, t.Bytes, MaxBuffer)
	}
	want, err := TensorBytes(t.DType, t.Shape)
	if err != nil {
		return nil, err
	}
	if want != t.Bytes {
		return nil, fmt.Errorf("buffer %d has %d bytes, %s of shape %v takes %d", t.Buffer, t.Bytes, t.DType, t.Shape, want)
	}
	if sum := crc32.Checksum(b, castagnoli); sum != t.CRC32C {
		return nil, fmt.Errorf("buffer %d has crc32c %08x, its description says %08x: the bytes were damaged or mixed up", t.Buffer, sum, t.CRC32C)
	}
	return b, nil
}
