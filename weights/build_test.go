package weights

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Writers of small files, good and hostile. They check nothing.

// tinyConfig is a model of two layers whose tensors take a few hundred bytes.
var tinyConfig = Config{Architecture: "llama", HiddenSize: 32, IntermediateSize: 32, NumHiddenLayers: 2, NumAttentionHeads: 4,
	NumKeyValueHeads: 2, HeadDim: 8, VocabSize: 8, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5, RopeTheta: 10000, BOS: -1}

// configJSON is a config.json of c, with more members in front.
func configJSON(c Config, more string) []byte {
	return fmt.Appendf(nil, `{%s "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": %d, "intermediate_size": %d,
"num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d, "vocab_size": %d, "max_position_embeddings": %d,
"rms_norm_eps": %g, "tie_word_embeddings": %t}`, more, c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads,
		c.NumKeyValueHeads, c.VocabSize, c.MaxPositionEmbeddings, c.RMSNormEps, c.TieWordEmbeddings)
}

// stTensor is a tensor to be written.
type stTensor struct {
	name, dtype string
	shape       []int
}

// safetensorsFile lays tensors out one after another.
func safetensorsFile(tensors []stTensor) []byte {
	var header bytes.Buffer
	header.WriteString(`{"__metadata__":{"format":"pt"}`)
	at := 0
	for _, t := range tensors {
		size := 1
		for _, d := range t.shape {
			size *= d
		}
		size = size * int(safetensorBits[t.dtype]) / 8
		shape, _ := json.Marshal(append([]int{}, t.shape...))
		fmt.Fprintf(&header, `,%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, t.name, t.dtype, shape, at, at+size)
		at += size
	}
	header.WriteString("}")
	return rawSafetensors(header.String(), make([]byte, at))
}

// rawSafetensors puts a length before a header and data after it.
func rawSafetensors(header string, data []byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

// hfTensors are the tensors that c implies.
func hfTensors(c Config, dtype string) []stTensor {
	var list []stTensor
	for _, s := range TensorShapes(c) {
		list = append(list, stTensor{s.Name, dtype, s.Shape})
	}
	return list
}

// ggufKV is a key with its value already encoded: type, then bytes.
type ggufKV struct {
	key   string
	value []byte
}

type ggufTensor struct {
	name   string
	dims   []uint64 // innermost first
	typ    uint32
	offset uint64 // used when raw
	raw    bool
}

type ggufFile struct {
	version uint32
	keys    []ggufKV
	tensors []ggufTensor
	align   int
	noData  bool
	extra   []byte
}

var le = binary.LittleEndian

func u32Value(n uint32) []byte { return le.AppendUint32(le.AppendUint32(nil, kvU32), n) }
func i32Value(n int32) []byte  { return le.AppendUint32(le.AppendUint32(nil, kvI32), uint32(n)) }
func u64Value(n uint64) []byte { return le.AppendUint64(le.AppendUint32(nil, kvU64), n) }
func f32Value(f float32) []byte {
	return le.AppendUint32(le.AppendUint32(nil, kvF32), math.Float32bits(f))
}
func boolValue(b byte) []byte  { return append(le.AppendUint32(nil, kvBool), b) }
func strValue(s string) []byte { return append(le.AppendUint32(nil, kvString), ggufString(s)...) }
func ggufString(s string) []byte {
	return append(le.AppendUint64(nil, uint64(len(s))), s...)
}

func arrayValue(elem uint32, n uint64, data []byte) []byte {
	b := le.AppendUint32(le.AppendUint32(nil, kvArray), elem)
	return append(le.AppendUint64(b, n), data...)
}

func stringsValue(list ...string) []byte {
	var data []byte
	for _, s := range list {
		data = append(data, ggufString(s)...)
	}
	return arrayValue(kvString, uint64(len(list)), data)
}

func i32sValue(list ...int32) []byte {
	var data []byte
	for _, n := range list {
		data = le.AppendUint32(data, uint32(n))
	}
	return arrayValue(kvI32, uint64(len(list)), data)
}

func f32sValue(list ...float32) []byte {
	var data []byte
	for _, f := range list {
		data = le.AppendUint32(data, math.Float32bits(f))
	}
	return arrayValue(kvF32, uint64(len(list)), data)
}

func (g ggufFile) bytes() []byte {
	if g.version == 0 {
		g.version = 3
	}
	if g.align == 0 {
		g.align = 32
	}
	b := append([]byte("GGUF"), le.AppendUint32(nil, g.version)...)
	b = le.AppendUint64(le.AppendUint64(b, uint64(len(g.tensors))), uint64(len(g.keys)))
	for _, kv := range g.keys {
		b = append(append(b, ggufString(kv.key)...), kv.value...)
	}
	at := uint64(0)
	for _, t := range g.tensors {
		b = le.AppendUint32(append(b, ggufString(t.name)...), uint32(len(t.dims)))
		size := uint64(1)
		for _, d := range t.dims {
			b = le.AppendUint64(b, d)
			size *= d
		}
		typ := ggmlTypes[t.typ]
		offset := at
		if t.raw {
			offset = t.offset
		}
		b = le.AppendUint64(le.AppendUint32(b, t.typ), offset)
		if typ.block > 0 && !g.noData {
			at += size / uint64(typ.block) * uint64(typ.bytes)
			at = (at + uint64(g.align) - 1) / uint64(g.align) * uint64(g.align)
		}
	}
	b = append(b, g.extra...)
	if len(g.tensors) > 0 && !g.noData {
		for len(b)%g.align != 0 {
			b = append(b, 0)
		}
		b = append(b, make([]byte, at)...)
	}
	return b
}

// set replaces or adds keys; a nil value removes one.
func (g ggufFile) set(pairs ...ggufKV) ggufFile {
	keys := append([]ggufKV{}, g.keys...)
	for _, p := range pairs {
		found := false
		for i := range keys {
			if keys[i].key == p.key {
				keys[i], found = p, true
			}
		}
		if !found {
			keys = append(keys, p)
		}
	}
	g.keys = nil
	for _, kv := range keys {
		if kv.value != nil {
			g.keys = append(g.keys, kv)
		}
	}
	return g
}

// tinyGGUF is a good file of tinyConfig: matrices of type typ, norms F32, tied
// output and a vocabulary of eight tokens.
func tinyGGUF(typ uint32) ggufFile { return ggufOf(tinyConfig, typ) }

func ggufOf(c Config, typ uint32) ggufFile {
	c.TieWordEmbeddings = true
	g := ggufFile{keys: []ggufKV{
		{"general.architecture", strValue("llama")},
		{"llama.block_count", u32Value(uint32(c.NumHiddenLayers))},
		{"llama.context_length", u32Value(uint32(c.MaxPositionEmbeddings))},
		{"llama.embedding_length", u32Value(uint32(c.HiddenSize))},
		{"llama.feed_forward_length", u32Value(uint32(c.IntermediateSize))},
		{"llama.attention.head_count", u32Value(uint32(c.NumAttentionHeads))},
		{"llama.attention.head_count_kv", u32Value(uint32(c.NumKeyValueHeads))},
		{"llama.rope.freq_base", f32Value(10000)},
		{"llama.attention.layer_norm_rms_epsilon", f32Value(1e-5)},
		{"tokenizer.ggml.model", strValue("gpt2")},
		{"tokenizer.ggml.pre", strValue("smollm")},
		{"tokenizer.ggml.tokens", stringsValue("<|endoftext|>", "a", "<|im_end|>", "b", "ab", "c", "<|eot_id|>", "d")},
		{"tokenizer.ggml.token_type", i32sValue(3, 1, 3, 1, 1, 1, 1, 1)},
		{"tokenizer.ggml.merges", stringsValue("a b")},
		{"tokenizer.ggml.eos_token_id", u32Value(2)},
		{"tokenizer.chat_template", strValue("{{ x }}")},
	}}
	for _, s := range TensorShapes(c) {
		t := ggufTensor{name: GGUFName(s.Name), typ: typ}
		if len(s.Shape) == 1 {
			t.typ = 0
		}
		for i := len(s.Shape) - 1; i >= 0; i-- {
			t.dims = append(t.dims, uint64(s.Shape[i]))
		}
		g.tensors = append(g.tensors, t)
	}
	return g
}

// folderOf writes files into a new folder.
func folderOf(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		write(t, filepath.Join(dir, name), data)
	}
	return dir
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// mustOpen opens a checkpoint and closes it with the test.
func mustOpen(t testing.TB, path string, opt Options) *Checkpoint {
	t.Helper()
	c, err := Open(context.Background(), path, opt)
	if err != nil {
		t.Fatalf("Open(%s): %v", path, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// refused checks that err is an *Error of this kind whose text has all parts.
func refused(t testing.TB, err error, kind ErrorKind, parts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), expected a *weights.Error", err, err)
	}
	if e.Kind != kind {
		t.Errorf("kind %q, expected %q: %v", e.Kind, kind, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, expected it to say %q", err, part)
		}
	}
}
