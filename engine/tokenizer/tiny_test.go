package tokenizer_test

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"testing"

	"github.com/llama-go/llama-go/engine/tokenizer"
)

// tinyJSON is a byte-level tokenizer.json with Llama 3's rules: 256 bytes, a few
// merges and special tokens. edit changes it.
func tinyJSON(t testing.TB, edit func(file, model map[string]any)) []byte {
	t.Helper()
	vocab := map[string]any{}
	add := func(text string) int {
		id := len(vocab)
		vocab[text] = id
		return id
	}
	for b := range 256 {
		add(tokenizer.MapBytes(string([]byte{byte(b)})))
	}
	var merges []any
	for _, m := range [][2]string{{"h", "e"}, {"l", "l"}, {"he", "ll"}, {" ", "w"}, {"o", "r"}, {" w", "or"}, {"\n", "\n"}, {"a", "a"}, {"aa", "aa"}, {"\xc3", "\xa9"}} {
		l, r := tokenizer.MapBytes(m[0]), tokenizer.MapBytes(m[1])
		add(l + r)
		merges = append(merges, l+" "+r)
	}
	var added []any
	for i, text := range []string{"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"} {
		added = append(added, map[string]any{"id": len(vocab) + i, "content": text, "special": true, "normalized": false})
	}
	model := map[string]any{"type": "BPE", "vocab": vocab, "merges": merges}
	file := map[string]any{
		"version": "1.0", "model": model, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": tokenizer.PatternLl3}, "behavior": "Isolated", "invert": false},
			map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
		}},
		"decoder": map[string]any{"type": "ByteLevel"},
		"post_processor": map[string]any{"type": "TemplateProcessing", "single": []any{
			map[string]any{"SpecialToken": map[string]any{"id": "<|begin_of_text|>"}}, map[string]any{"Sequence": map[string]any{"id": "A"}}}},
	}
	if edit != nil {
		edit(file, model)
	}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func tiny(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.FromJSON(tinyJSON(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// tinyModel is a tokenizer.model of a few pieces.
type tinyModel struct {
	pieces   []tinyPiece
	trainer  map[int]any // by field number
	norm     map[int]any
	noByte   bool
	noHeader bool
}

type tinyPiece struct {
	text  string
	score float32
	kind  int
}

func tinyPieces() []tinyPiece {
	return []tinyPiece{{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, {"▁", -1, 1}, {"a", -2, 1}, {"b", -3, 1}, {"ab", -4, 1},
		{"▁a", -5, 1}, {"▁ab", -6, 1}, {"é", -7, 1}, {"<mask>", 0, 4}}
}

func (m tinyModel) bytes() []byte {
	var out []byte
	pieces := m.pieces
	if pieces == nil {
		pieces = tinyPieces()
	}
	if !m.noByte {
		for b := range 256 {
			pieces = append(pieces, tinyPiece{"<0x" + string("0123456789ABCDEF"[b>>4]) + string("0123456789ABCDEF"[b&15]) + ">", 0, 6})
		}
	}
	for _, p := range pieces {
		out = field(out, 1, field(field(field(nil, 1, p.text), 2, p.score), 3, p.kind))
	}
	trainer := map[int]any{3: 2, 35: 1}
	maps.Copy(trainer, m.trainer)
	norm := map[int]any{1: "identity", 4: 0}
	maps.Copy(norm, m.norm)
	if m.noHeader {
		return out
	}
	return field(field(out, 2, message(trainer)), 3, message(norm))
}

func message(fields map[int]any) []byte {
	var out []byte
	for num := range 64 {
		if v, ok := fields[num]; ok {
			out = field(out, num, v)
		}
	}
	return out
}

// field appends a protobuf field.
func field(out []byte, num int, v any) []byte {
	switch v := v.(type) {
	case int:
		out = binary.AppendUvarint(out, uint64(num)<<3)
		return binary.AppendUvarint(out, uint64(v))
	case float32:
		out = binary.AppendUvarint(out, uint64(num)<<3|5)
		return binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	case string:
		return field(out, num, []byte(v))
	}
	data := v.([]byte)
	out = binary.AppendUvarint(out, uint64(num)<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(data))), data...)
}
