package kernel

import (
	"encoding/binary"
	"math"

	"github.com/x448/float16"

	"github.com/llama-go/llama-go/weights"
)

// castFloats converts little-endian floats of a type on the wire ("float64",
// "float32", "float16", "bfloat16") to a stored type, rounding to nearest even.
// float64 goes through float32, as in torch. Data that has the type already is
// returned as it is.
func castFloats(dst weights.DType, src string, data []byte) []byte {
	if plainTypes[src] == dst {
		return data
	}
	size := map[string]int{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}[src]
	n := len(data) / size
	out := make([]byte, n*dst.BlockBytes())
	for i := range n {
		x := loadFloat(src, data[i*size:])
		switch dst {
		case weights.F32:
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(x))
		case weights.F16:
			binary.LittleEndian.PutUint16(out[2*i:], float16.Fromfloat32(x).Bits())
		case weights.BF16:
			binary.LittleEndian.PutUint16(out[2*i:], bfloat16(x))
		}
	}
	return out
}

func loadFloat(src string, b []byte) float32 {
	switch src {
	case "float64":
		return float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case "float32":
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	case "float16":
		return float16.Frombits(binary.LittleEndian.Uint16(b)).Float32()
	default: // bfloat16
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	}
}

// bfloat16 rounds to nearest even; a NaN stays one.
func bfloat16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// reorderQK moves the rows of a Q or K projection, (heads·headDim, in), from
// one pairing to the other. With d = headDim, interleaved row 2i+j of a head is
// halves row i + j·d/2 (transformers convert_llama_weights_to_hf.py, permute).
func reorderQK(data []byte, rows, headDim int, to weights.QKOrder) []byte {
	out := make([]byte, len(data))
	rowBytes := len(data) / rows
	half := headDim / 2
	for head := 0; head < rows; head += headDim {
		for i := range half {
			for j := range 2 {
				inter, halves := head+2*i+j, head+i+j*half
				from, at := inter, halves
				if to == weights.Interleaved {
					from, at = halves, inter
				}
				copy(out[at*rowBytes:(at+1)*rowBytes], data[from*rowBytes:(from+1)*rowBytes])
			}
		}
	}
	return out
}
