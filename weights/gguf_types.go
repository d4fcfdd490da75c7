package weights

import (
	"fmt"
	"strings"
)

// ggmlType is a tensor type of GGUF: elements per block and bytes per block
// (ggml/src/ggml.c, type_traits). The layout of a file is checked whatever its
// types; DType is 0 for those that we cannot compute from.
type ggmlType struct {
	name         string
	block, bytes int64
	dtype        DType
}

var ggmlTypes = map[uint32]ggmlType{
	0: {"F32", 1, 4, F32}, 1: {"F16", 1, 2, F16}, 30: {"BF16", 1, 2, BF16},
	2: {"Q4_0", 32, 18, Q4_0}, 3: {"Q4_1", 32, 20, Q4_1}, 8: {"Q8_0", 32, 34, Q8_0},
	6: {"Q5_0", 32, 22, Q5_0}, 7: {"Q5_1", 32, 24, Q5_1},
	12: {"Q4_K", 256, 144, Q4_K}, 13: {"Q5_K", 256, 176, Q5_K}, 14: {"Q6_K", 256, 210, Q6_K},

	9: {"Q8_1", 32, 36, 0}, 10: {"Q2_K", 256, 84, 0}, 11: {"Q3_K", 256, 110, 0}, 15: {"Q8_K", 256, 292, 0},
	16: {"IQ2_XXS", 256, 66, 0}, 17: {"IQ2_XS", 256, 74, 0}, 18: {"IQ3_XXS", 256, 98, 0},
	19: {"IQ1_S", 256, 50, 0}, 20: {"IQ4_NL", 32, 18, 0}, 21: {"IQ3_S", 256, 110, 0},
	22: {"IQ2_S", 256, 82, 0}, 23: {"IQ4_XS", 256, 136, 0}, 29: {"IQ1_M", 256, 56, 0},
	34: {"TQ1_0", 256, 54, 0}, 35: {"TQ2_0", 256, 66, 0}, 39: {"MXFP4", 32, 17, 0},
	24: {"I8", 1, 1, 0}, 25: {"I16", 1, 2, 0}, 26: {"I32", 1, 4, 0}, 27: {"I64", 1, 8, 0}, 28: {"F64", 1, 8, 0},
}

// supported names the tensor types that can be computed from, for messages.
func supported() string {
	names := make([]string, 0, len(dtypes))
	for _, d := range dtypes {
		if d.name != "" {
			names = append(names, d.name)
		}
	}
	return strings.Join(names, ", ")
}

// Types of GGUF's key-value pairs.
const (
	kvU8 = iota
	kvI8
	kvU16
	kvI16
	kvU32
	kvI32
	kvF32
	kvBool
	kvString
	kvArray
	kvU64
	kvI64
	kvF64
)

var kvNames = [...]string{"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"}

// kvSizes are the bytes of fixed-size types; 0 for string and array.
var kvSizes = [...]int64{kvU8: 1, kvI8: 1, kvU16: 2, kvI16: 2, kvU32: 4, kvI32: 4, kvF32: 4, kvBool: 1, kvU64: 8, kvI64: 8, kvF64: 8}

func kvName(t uint32) string {
	if int(t) < len(kvNames) {
		return kvNames[t]
	}
	return fmt.Sprintf("type %d", t)
}
