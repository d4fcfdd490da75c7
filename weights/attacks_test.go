package weights

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// one is a header of one 4-byte tensor with these fields.
func one(fields string) string { return `{"a":{` + fields + `}}` }

const goodFields = `"dtype":"F32","shape":[1],"data_offsets":[0,4]`

// TestSafetensorsAttacks are headers that lie. Each must be refused for its own
// reason, without memory beyond the header's.
func TestSafetensorsAttacks(t *testing.T) {
	two := func(a, b string) string {
		return `{"a":{"dtype":"U8","shape":[4],"data_offsets":` + a + `},"b":{"dtype":"U8","shape":[4],"data_offsets":` + b + `}}`
	}
	length := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), `{"a":{}} and more`...)
	}
	deep := strings.Repeat("[", 100000)
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "has 0 bytes, a safetensors file has at least 8"},
		{"seven bytes", make([]byte, 7), "has 7 bytes"},
		{"header length 0", length(0), "does not start with '{'"},
		{"header length -1", length(math.MaxUint64), "at most 100000000 are allowed"},
		{"header length 2^63-1", length(math.MaxInt64), "at most 100000000 are allowed"},
		{"header length 2^32", length(1 << 32), "at most 100000000 are allowed"},
		{"header longer than the file", length(18), "header of 18 bytes, but only 17 bytes follow"},
		{"leading space", rawSafetensors(" {}", nil), "does not start with '{'"},
		{"list", rawSafetensors("[]", nil), "does not start with '{'"},
		{"no end", rawSafetensors("{", nil), "the JSON ends"},
		{"data after the header", rawSafetensors("{} {}", nil), "JSON goes on with '{'"},
		{"NUL after the header", rawSafetensors("{}\x00", nil), "JSON goes on"},
		{"duplicate tensor", rawSafetensors(`{"a":{`+goodFields+`},"a":{`+goodFields+`}}`, make([]byte, 4)), `duplicate key "a"`},
		{"duplicate by escape", rawSafetensors(`{"a":{`+goodFields+`},"\u0061":{`+goodFields+`}}`, make([]byte, 4)), `duplicate key "a"`},
		{"duplicate among many", rawSafetensors(manyTensors(40, "x3"), nil), `duplicate key "x3"`},
		{"duplicate field", rawSafetensors(one(goodFields+`,"dtype":"F16"`), make([]byte, 4)), "object has more than 3 keys"},
		{"duplicate field of three", rawSafetensors(one(`"dtype":"F32","dtype":"F32","shape":[1]`), make([]byte, 4)), `duplicate key "dtype"`},
		{"case variant", rawSafetensors(one(`"DTYPE":"F32","shape":[1],"data_offsets":[0,4]`), make([]byte, 4)), `unknown field "DTYPE"`},
		{"case variant besides", rawSafetensors(one(goodFields+`,"DTYPE":"F16"`), make([]byte, 4)), "more than 3 keys"},
		{"unknown field", rawSafetensors(one(`"dtype":"F32","shape":[1],"data":[0,4]`), make([]byte, 4)), `unknown field "data"`},
		{"field missing", rawSafetensors(one(`"dtype":"F32","shape":[1]`), make([]byte, 4)), "has 2 fields"},
		{"unknown type", rawSafetensors(one(`"dtype":"F33","shape":[1],"data_offsets":[0,4]`), make([]byte, 4)), `unknown dtype "F33"`},
		{"type of a kilobyte", rawSafetensors(one(`"dtype":"`+strings.Repeat("F", 1024)+`","shape":[1],"data_offsets":[0,4]`), nil), "string of 1024 bytes"},
		{"type no string", rawSafetensors(one(`"dtype":4,"shape":[1],"data_offsets":[0,4]`), nil), `JSON has '4', expected "`},
		{"negative dimension", rawSafetensors(one(`"dtype":"F32","shape":[-1],"data_offsets":[0,4]`), make([]byte, 4)), "number -1, expected an integer"},
		{"fraction", rawSafetensors(one(`"dtype":"F32","shape":[1.0],"data_offsets":[0,4]`), make([]byte, 4)), "number 1.0, expected an integer"},
		{"exponent", rawSafetensors(one(`"dtype":"F32","shape":[1e0],"data_offsets":[0,4]`), make([]byte, 4)), "number 1e0, expected an integer"},
		{"leading zero", rawSafetensors(one(`"dtype":"F32","shape":[01],"data_offsets":[0,4]`), make([]byte, 4)), "expected a number"},
		{"plus", rawSafetensors(one(`"dtype":"F32","shape":[+1],"data_offsets":[0,4]`), make([]byte, 4)), "expected a number"},
		{"dimension 2^64", rawSafetensors(one(`"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]`), make([]byte, 4)), "expected an integer of 0 to 9223372036854775807"},
		{"dimension 2^62", rawSafetensors(one(`"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]`), make([]byte, 4)), "has no size in bytes"},
		{"product wraps to 4", rawSafetensors(one(`"dtype":"U8","shape":[4194305,4194305,211106198978564],"data_offsets":[0,4]`), make([]byte, 4)), "has no size in bytes"},
		{"zero times too much", rawSafetensors(one(`"dtype":"U8","shape":[4611686018427387904,4,0],"data_offsets":[0,0]`), nil), "has no size in bytes"},
		{"half a byte", rawSafetensors(one(`"dtype":"F4","shape":[3],"data_offsets":[0,1]`), make([]byte, 1)), "has no size in bytes"},
		{"rank 9", rawSafetensors(one(`"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]`), make([]byte, 1)), "more than 8 dimensions"},
		{"rank 10^6", rawSafetensors(one(`"dtype":"U8","shape":[1`+strings.Repeat(",1", 1e6)+`],"data_offsets":[0,1]`), make([]byte, 1)), "more than 8 dimensions"},
		{"size and shape differ", rawSafetensors(one(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`), make([]byte, 4)), "hold 4 bytes, shape [2] of F32 needs 8"},
		{"reversed offsets", rawSafetensors(one(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`), make([]byte, 4)), "hold -4 bytes"},
		{"one offset", rawSafetensors(one(`"dtype":"F32","shape":[1],"data_offsets":[0]`), make([]byte, 4)), "has 1 data_offsets"},
		{"three offsets", rawSafetensors(one(`"dtype":"F32","shape":[1],"data_offsets":[0,4,8]`), make([]byte, 4)), "more than 2 data_offsets"},
		{"past the end", rawSafetensors(one(goodFields), make([]byte, 3)), "data ends at 4, the file has 3 bytes of data"},
		{"far past the end", rawSafetensors(one(`"dtype":"U8","shape":[1152921504606846975],"data_offsets":[0,1152921504606846975]`), make([]byte, 4)), "data ends at 1152921504606846975"},
		{"2^63-1 bytes", rawSafetensors(one(`"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]`), make([]byte, 4)), "has no size in bytes"},
		{"bytes left over", rawSafetensors(one(goodFields), make([]byte, 5)), "the tensors end at 4, the file has 5 bytes"},
		{"data and no tensor", rawSafetensors("{}", make([]byte, 5)), "the tensors end at 0, the file has 5 bytes"},
		{"overlap", rawSafetensors(two("[0,4]", "[2,6]"), make([]byte, 6)), "it overlaps another tensor"},
		{"same place", rawSafetensors(two("[0,4]", "[0,4]"), make([]byte, 4)), "it overlaps another tensor"},
		{"hole", rawSafetensors(two("[0,4]", "[5,9]"), make([]byte, 9)), "a hole before it"},
		{"hole at the start", rawSafetensors(one(`"dtype":"F32","shape":[1],"data_offsets":[4,8]`), make([]byte, 8)), "data starts at 4, expected 0"},
		{"nested without end", rawSafetensors(`{"a":`+deep, nil), "JSON has '['"},
		{"metadata nested", rawSafetensors(`{"__metadata__":{"a":{}}}`, nil), `expected "`},
		{"metadata number", rawSafetensors(`{"__metadata__":{"a":1}}`, nil), `expected "`},
		{"metadata twice", rawSafetensors(`{"__metadata__":{},"__metadata__":{}}`, nil), `duplicate key "__metadata__"`},
		{"invalid UTF-8", rawSafetensors("{\"\xff\":{"+goodFields+"}}", make([]byte, 4)), "not valid UTF-8"},
		{"overlong UTF-8", rawSafetensors("{\"\xc0\xaf\":{"+goodFields+"}}", make([]byte, 4)), "not valid UTF-8"},
		{"lone surrogate", rawSafetensors(`{"\ud800":{`+goodFields+`}}`, make([]byte, 4)), "bad escape"},
		{"low surrogate alone", rawSafetensors(`{"\udc00":{`+goodFields+`}}`, make([]byte, 4)), "bad escape"},
		{"control character", rawSafetensors("{\"a\n\":{"+goodFields+"}}", make([]byte, 4)), "control character 0x0a"},
		{"bad escape", rawSafetensors(`{"\x41":{`+goodFields+`}}`, make([]byte, 4)), "bad escape"},
		{"name of 2 KB", rawSafetensors(`{"`+strings.Repeat("a", 2048)+`":{`+goodFields+`}}`, make([]byte, 4)), "string of 2048 bytes, at most 1024"},
		{"escaped name of 2 KB", rawSafetensors(`{"\u0062`+strings.Repeat("a", 2048)+`":{`+goodFields+`}}`, make([]byte, 4)), "string longer than 1024 bytes"},
		{"comma at the end", rawSafetensors(`{"a":{`+goodFields+`},}`, make([]byte, 4)), "expected a key in quotes"},
		{"no comma", rawSafetensors(`{"a":{`+goodFields+`}"b":{`+goodFields+`}}`, make([]byte, 4)), "expected ',' or '}'"},
		{"single quotes", rawSafetensors(`{'a':{`+goodFields+`}}`, make([]byte, 4)), "expected a key in quotes"},
		{"a million tensors", rawSafetensors(manyTensors(1_000_000, ""), nil), "more than 200000 tensors"},
		{"a million metadata entries", rawSafetensors(manyMetadata(1_000_000), nil), "object has more than 65536 keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := bounded(t, len(tt.file), func() error {
				_, err := parseSafetensors(tt.file)
				return err
			})
			refused(t, err, KindCheckpoint, tt.want)
		})
	}
}

// manyTensors is a header of n empty tensors, and another one named last.
func manyTensors(n int, last string) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, `"x%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, i)
	}
	if last != "" {
		fmt.Fprintf(&b, `%q:{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, last)
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

func manyMetadata(n int) string {
	var b strings.Builder
	b.WriteString(`{"__metadata__":{"a":""`)
	for i := range n {
		fmt.Fprintf(&b, `,"%d":""`, i)
	}
	return b.String() + "}}"
}

// bounded runs f and checks its time, and the bytes that it takes from the
// heap, freed or not, against 64 MiB and four times the header.
func bounded(t *testing.T, header int, f func() error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := cpuTime()
	err := f()
	took := cpuTime() - start
	runtime.ReadMemStats(&after)
	if took > 2*time.Second*slow {
		t.Errorf("took %v, at most 2 s are allowed", took)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20+4*uint64(header) {
		t.Errorf("took %d MiB of heap for a header of %d MiB", used>>20, header>>20)
	}
	return err
}

// TestLargeHeaders reads headers of the greatest legal size.
func TestLargeHeaders(t *testing.T) {
	if testing.Short() {
		t.Skip("100 MB headers")
	}
	spaces := func(header string) []byte {
		return rawSafetensors(header+strings.Repeat(" ", maxHeaderBytes-len(header)), nil)
	}
	many := manyTensors(maxTensors, "")
	for _, tt := range []struct {
		name string
		file []byte
	}{
		{"one string", rawSafetensors(`{"__metadata__":{"a":"`+strings.Repeat("x", maxHeaderBytes-40)+`"}}`, nil)},
		{"one string of two-byte runes", rawSafetensors(`{"__metadata__":{"a":"`+strings.Repeat("é", maxHeaderBytes/2-40)+`"}}`, nil)},
		{"escapes", rawSafetensors(`{"__metadata__":{"a":"`+strings.Repeat(`\u00e9`, maxHeaderBytes/6-40)+`"}}`, nil)},
		{"spaces", spaces("{}")},
		{"200,000 tensors and spaces", spaces(many)},
		{"200,000 tensors with long names", rawSafetensors(strings.ReplaceAll(many, `"x`, `"`+strings.Repeat("n", 420)), nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := cpuTime()
			err := bounded(t, len(tt.file), func() error {
				_, err := parseSafetensors(tt.file)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			took := cpuTime() - start
			t.Logf("%d MB in %v", len(tt.file)/1e6, took)
			if took > 700*time.Millisecond*slow {
				t.Errorf("%d MB took %v, at most 0.7 s are allowed", len(tt.file)/1e6, took)
			}
		})
	}
}

// TestGGUFAttacks are files that lie. llama.cpp's tests/test-gguf.cpp has the
// kinds of the first half.
func TestGGUFAttacks(t *testing.T) {
	good := tinyGGUF(0)
	with := func(pairs ...ggufKV) []byte { return good.set(pairs...).bytes() }
	key := func(name string, value []byte) []byte { return with(ggufKV{name, value}) }
	tensors := func(list ...ggufTensor) []byte {
		g := good
		g.tensors = list
		return g.bytes()
	}
	raw := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	head := func(version uint32, ntensors, nkeys uint64) []byte {
		return le.AppendUint64(le.AppendUint64(append([]byte("GGUF"), le.AppendUint32(nil, version)...), ntensors), nkeys)
	}
	tensor := func(name string, typ uint32, dims ...uint64) ggufTensor {
		return ggufTensor{name: name, typ: typ, dims: dims}
	}
	at := func(offset uint64, dims ...uint64) ggufTensor {
		return ggufTensor{name: "b", dims: dims, offset: offset, raw: true}
	}
	noData := func(list ...ggufTensor) []byte { return ggufFile{tensors: list, noData: true}.bytes() }
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", []byte{}, "magic of 4 bytes, but only 0 are left"},
		{"magic", []byte("GGML\x03\x00\x00\x00"), `magic "GGML", expected "GGUF"`},
		{"version 0", head(0, 0, 0), "GGUF version 0, expected 2 or 3"},
		{"version 1", head(1, 0, 0), "GGUF version 1, expected 2 or 3"},
		{"version 4", head(4, 0, 0), "GGUF version 4, expected 2 or 3"},
		{"big-endian", head(3<<24, 0, 0), "a big-endian GGUF file"},
		{"2^64-1 tensors", head(3, math.MaxUint64, 0), "18446744073709551615 tensors, at most 200000 are allowed"},
		{"tensors beyond the file", head(3, 1000, 0), "1000 tensors, but only 8 bytes are left"},
		{"2^63 keys", head(3, 0, 1<<63), "9223372036854775808 keys, at most 65536 are allowed"},
		{"keys beyond the file", head(3, 0, 1), "1 keys, but only 0 bytes are left"},
		{"key of 2^64-1 bytes", raw(head(3, 0, 1), le.AppendUint64(nil, math.MaxUint64), make([]byte, 20)), "key of 18446744073709551615 bytes, at most 65535"},
		{"key beyond the file", raw(head(3, 0, 1), le.AppendUint64(nil, 60000), make([]byte, 20)), "key of 60000 bytes, but only 20 are left"},
		{"empty key", key("", u32Value(1)), "is empty or not valid UTF-8"},
		{"key not UTF-8", key("\xff", u32Value(1)), "is empty or not valid UTF-8"},
		{"duplicate key", ggufFile{keys: []ggufKV{{"a", u32Value(1)}, {"a", u32Value(2)}}}.bytes(), `duplicate key "a"`},
		{"value type 13", key("a", le.AppendUint32(nil, 13)), "has unknown type 13"},
		{"value type 2^32-1", key("a", le.AppendUint32(nil, math.MaxUint32)), "has unknown type"},
		{"bool 2", key("a", boolValue(2)), "is a bool of value 2"},
		{"string of 2^64-1 bytes", raw(head(3, 0, 1), ggufString("a"), le.AppendUint32(nil, kvString), le.AppendUint64(nil, math.MaxUint64)), "at most"},
		{"string beyond the file", raw(head(3, 0, 1), ggufString("a"), le.AppendUint32(nil, kvString), le.AppendUint64(nil, 1<<40)), "string of 1099511627776 bytes, but only 0 are left"},
		{"array of arrays", key("a", arrayValue(kvArray, 1, make([]byte, 12))), "is an array of array"},
		{"array of type 99", key("a", arrayValue(99, 1, make([]byte, 12))), "is an array of type 99"},
		{"array of 2^64-1 u8", raw(head(3, 0, 1), ggufString("a"), arrayValue(kvU8, math.MaxUint64, nil)), "at most"},
		{"array that would take 1 TB", raw(head(3, 0, 1), ggufString("a"), arrayValue(kvU64, 1<<37, make([]byte, 64))), "137438953472 array elements, but only 64 bytes are left"},
		{"array of 2^61+1 u64 (wraps to 8)", raw(head(3, 0, 1), ggufString("a"), arrayValue(kvU64, 1<<61+1, make([]byte, 64))), "but only 64 bytes are left"},
		{"strings that would take 1 TB", raw(head(3, 0, 1), ggufString("a"), arrayValue(kvString, 1<<37, make([]byte, 64))), "137438953472 strings, but only 64 bytes are left"},
		{"alignment 0", key("general.alignment", u32Value(0)), "is 0, expected a power of two from 1 to 65536"},
		{"alignment 3", key("general.alignment", u32Value(3)), "is 3, expected a power of two"},
		{"alignment 2^31", key("general.alignment", u32Value(1<<31)), "is 2147483648, expected a power of two"},
		{"alignment u64", key("general.alignment", u64Value(32)), "is of type u64, expected u32"},
		{"alignment string", key("general.alignment", strValue("32")), "is of type string, expected u32"},
		{"tensor name of 2 KB", tensors(tensor(strings.Repeat("a", 2048), 0, 1)), "tensor name of 2048 bytes, at most 1024"},
		{"duplicate tensor", tensors(tensor("a", 0, 1), tensor("a", 0, 1)), `duplicate tensor "a"`},
		{"rank 5", tensors(tensor("a", 0, 1, 1, 1, 1, 1)), "has 5 dimensions, at most 4"},
		{"rank 2^32-1", raw(head(3, 1, 0), ggufString("a"), le.AppendUint32(nil, math.MaxUint32), make([]byte, 64)), "has 4294967295 dimensions"},
		{"dimension 2^64-1", noData(tensor("a", 0, math.MaxUint64)), "has a dimension of 18446744073709551615"},
		{"dimension 2^62", noData(tensor("a", 0, 1<<62)), "has no size in bytes"},
		{"product wraps to 4", noData(tensor("a", 24, 4194305, 4194305, 211106198978564)), "has no size in bytes"},
		{"size wraps", noData(tensor("a", 0, 1<<31, 1<<31)), "has no size in bytes"},
		{"tensor type 99", tensors(tensor("a", 99, 1)), "has unknown type 99, supported are F32"},
		{"tensor type removed", tensors(tensor("a", 4, 32)), "has unknown type 4"},
		{"half a block", tensors(tensor("a", 8, 33)), "has rows of 33 elements, Q8_0 needs a multiple of 32"},
		{"half a block of 256", tensors(tensor("a", 12, 96)), "has rows of 96 elements, Q4_K needs a multiple of 256"},
		{"blocks of 256, cut short", noData(tensor("a", 14, 256)), "it is cut short"},
		{"blocks of 256, size wraps", noData(tensor("a", 13, 1<<31, 1<<32)), "has no size in bytes"},
		{"half a block of rank 0", tensors(tensor("a", 8)), "has rows of 1 elements"},
		{"first offset", tensors(at(32, 8)), "data starts at 32, expected 0"},
		{"overlap", tensors(tensor("a", 0, 8), at(0, 8)), "data starts at 0, expected 32"},
		{"misaligned", tensors(tensor("a", 0, 8), at(33, 8)), "data starts at 33, expected 32"},
		{"hole", tensors(tensor("a", 0, 8), at(64, 8)), "data starts at 64, expected 32"},
		{"offset 2^64-1", tensors(at(math.MaxUint64, 8)), "data starts at more than 2^63, expected 0"},
		{"no data", noData(tensor("a", 0, 8)), "it is cut short"},
		{"a little of it", ggufFile{tensors: []ggufTensor{tensor("a", 0, 1<<40)}, noData: true, extra: make([]byte, 64)}.bytes(), "it is cut short"},
		{"200,001 tensors", manyGGUFTensors(maxTensors + 1), "200001 tensors, at most 200000"},
		{"200,000 tensors", manyGGUFTensors(maxTensors), "general.architecture"},
		{"65,536 keys", manyGGUFKeys(maxGGUFKeys), "general.architecture"},
		{"no architecture", key("general.architecture", nil), `general.architecture: is ""`},
		{"architecture number", key("general.architecture", u32Value(1)), "is of type u32, expected string"},
		{"architecture of a MB", key("general.architecture", strValue(strings.Repeat("x", 1<<20))), "has 1048576 bytes, at most 64"},
		{"block_count float", key("llama.block_count", f32Value(2)), "llama.block_count: is of type f32, expected an integer"},
		{"block_count string", key("llama.block_count", strValue("2")), "is of type string, expected an integer"},
		{"block_count -1", key("llama.block_count", i32Value(-1)), "is -1, expected 0 to"},
		{"block_count 2^64-1", key("llama.block_count", u64Value(math.MaxUint64)), "is 18446744073709551615, expected 0 to"},
		{"block_count absent", key("llama.block_count", nil), "llama.block_count: is absent"},
		{"per-layer heads", key("llama.attention.head_count_kv", i32sValue(2, 1)), "differs between layers (2 and 1)"},
		{"no per-layer heads", key("llama.attention.head_count_kv", i32sValue()), "is an array of 0"},
		{"per-layer strings", key("llama.attention.head_count_kv", stringsValue("2")), "is an array of 1 × string"},
		{"eps string", key("llama.attention.layer_norm_rms_epsilon", strValue("x")), "is of type string, expected f32"},
		{"experts", key("llama.expert_count", u32Value(8)), "mixtures of experts are not supported"},
		{"split", key("split.count", u32Value(3)), "a part of a split model"},
		{"scale", key("llama.attention.scale", f32Value(0.1)), "is not supported"},
		{"partial rotary", key("llama.rope.dimension_count", u32Value(4)), "is 4, only the head dimension (8) is supported"},
		{"value_length", key("llama.attention.value_length", u32Value(16)), "is 16, only the head dimension (8)"},
		{"window", key("llama.attention.sliding_window", u32Value(32)), "32 is less than the context (64)"},
		{"yarn", key("llama.rope.scaling.type", strValue("yarn")), `"yarn" is not supported, expected "none" or "linear"`},
		{"linear without factor", key("llama.rope.scaling.type", strValue("linear")), "which scaling type \"linear\" needs"},
		{"tokens no array", key("tokenizer.ggml.tokens", u32Value(1)), "is of type u32, expected an array of string"},
		{"tokens of numbers", key("tokenizer.ggml.tokens", i32sValue(1, 2)), "is an array of i32, expected string"},
		{"token of 5 KB", key("tokenizer.ggml.tokens", stringsValue("a", strings.Repeat("x", 5000))), "element 1 has 5000 bytes, at most 4096"},
		{"a million tokens and more", key("tokenizer.ggml.tokens", arrayValue(kvString, maxVocab+1, make([]byte, 8*(maxVocab+1)))), "has 1048577 elements, at most 1048576"},
		{"types too few", key("tokenizer.ggml.token_type", i32sValue(1, 2)), "has 2 elements, the vocabulary has 8 tokens"},
		{"types of another kind", key("tokenizer.ggml.token_type", f32sValue(1, 1, 1, 1, 1, 1, 1, 1)), "is an array of f32, expected i32"},
		{"scores too many", key("tokenizer.ggml.scores", f32sValue(1, 1, 1, 1, 1, 1, 1, 1, 1)), "has 9 elements, the vocabulary has 8 tokens"},
		{"eos beyond", key("tokenizer.ggml.eos_token_id", u32Value(8)), "is 8, expected 0 to 7"},
		{"bos -1", key("tokenizer.ggml.bos_token_id", i32Value(-1)), "is -1, expected 0 to 7"},
		{"add_bos number", key("tokenizer.ggml.add_bos_token", u32Value(1)), "is of type u32, expected bool"},
		{"template of 2 MB", key("tokenizer.chat_template", strValue(strings.Repeat("x", 2<<20))), "at most 1048576 are allowed"},
		{"template number", key("tokenizer.chat_template", u32Value(1)), "is of type u32, expected string"},
		{"norm of Q5_1", tensorsOfType(7, "blk.0.attn_norm.weight"), "is Q5_1, a norm must be F32, F16 or BF16"},
		{"norm of Q8_0", tensorsOfType(8, "blk.0.attn_norm.weight"), "is Q8_0, a norm must be F32, F16 or BF16"},
		{"bias", withTensor(tensor("blk.0.attn_q.bias", 0, 32)), `tensor "blk.0.attn_q.bias": is not one that the config implies`},
		{"a layer too many", withTensor(tensor("blk.2.attn_norm.weight", 0, 32)), "is not one that the config implies (2 layers)"},
		{"vocab_size and rows differ", key("llama.vocab_size", u32Value(9)), "has shape [8 32], the config implies [9 32]"},
		{"rope_freqs shape", withTensor(tensor("rope_freqs.weight", 0, 8)), "is F32 [8], the config implies F32 [4]"},
		{"rope_freqs zero", withTensor(tensor("rope_freqs.weight", 0, 4)), "element 0 is 0, expected above 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folderOf(t, map[string][]byte{"m.gguf": tt.file})
			err := bounded(t, len(tt.file), func() error {
				c, err := Open(context.Background(), filepath.Join(dir, "m.gguf"), Options{})
				if err == nil {
					c.Close()
				}
				return err
			})
			switch tt.name {
			case "nothing":
				refused(t, err, KindCheckpoint, "is empty")
				_, err = parseGGUF(nil)
			case "magic":
				refused(t, err, KindCheckpoint, "expected a GGUF or safetensors file")
				_, err = parseGGUF(tt.file)
			}
			var e *Error
			kind := KindCheckpoint
			if errors.As(err, &e) && strings.HasPrefix(e.Where, "tokenizer.") {
				kind = KindTokenizer
			} else if e != nil && (strings.HasPrefix(e.Where, "llama.") || e.Where == "general.architecture") {
				kind = KindConfig
			}
			refused(t, err, kind, tt.want)
		})
	}
}

func withTensor(t ggufTensor) []byte {
	g := tinyGGUF(0)
	g.tensors = append(g.tensors, t)
	return g.bytes()
}

// tensorsOfType is the tiny file with one tensor of another type.
func tensorsOfType(typ uint32, name string) []byte {
	g := tinyGGUF(0)
	for i := range g.tensors {
		if g.tensors[i].name == name {
			g.tensors[i].typ = typ
		}
	}
	return g.bytes()
}

func manyGGUFTensors(n int) []byte {
	g := ggufFile{}
	for i := range n {
		g.tensors = append(g.tensors, ggufTensor{name: fmt.Sprint("t", i), dims: []uint64{0}})
	}
	return g.bytes()
}

func manyGGUFKeys(n int) []byte {
	g := ggufFile{}
	for i := range n {
		g.keys = append(g.keys, ggufKV{fmt.Sprint("k", i), []byte{0, 0, 0, 0, 0}})
	}
	return g.bytes()
}

// TestGGUFRanges are configs that cannot be, told as config errors.
func TestGGUFRanges(t *testing.T) {
	for _, tt := range []struct {
		name string
		kv   ggufKV
		want string
	}{
		{"10^9 layers", ggufKV{"llama.block_count", u32Value(1e9)}, "num_hidden_layers must be between 1 and 1024, got 1000000000."},
		{"no layers", ggufKV{"llama.block_count", u32Value(0)}, "num_hidden_layers must be between 1 and"},
		{"no heads", ggufKV{"llama.attention.head_count", u32Value(0)}, "num_attention_heads must be between"},
		{"no KV heads", ggufKV{"llama.attention.head_count_kv", u32Value(0)}, "num_key_value_heads must be between"},
		{"KV heads", ggufKV{"llama.attention.head_count_kv", u32Value(3)}, "(4) is not a multiple of the number of key-value heads (3)"},
		{"heads", ggufKV{"llama.attention.head_count", u32Value(5)}, "The hidden size (32) is not a multiple of the number of attention heads (5)."},
		{"theta NaN", ggufKV{"llama.rope.freq_base", f32Value(float32(math.NaN()))}, "rope_theta must be between 1 and 1e+12, got NaN."},
		{"theta 0", ggufKV{"llama.rope.freq_base", f32Value(0)}, "rope_theta must be between"},
		{"eps 0", ggufKV{"llama.attention.layer_norm_rms_epsilon", f32Value(0)}, "rms_norm_eps must be above 0"},
		{"eps infinite", ggufKV{"llama.attention.layer_norm_rms_epsilon", f32Value(float32(math.Inf(1)))}, "rms_norm_eps must be above 0"},
		{"context 2^31-1", ggufKV{"llama.context_length", u32Value(math.MaxInt32)}, "max_position_embeddings must be between 1 and 1073741824"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folderOf(t, map[string][]byte{"m.gguf": tinyGGUF(0).set(tt.kv).bytes()})
			_, err := Open(context.Background(), dir, Options{})
			refused(t, err, KindConfig, tt.want, "m.gguf")
		})
	}
}
