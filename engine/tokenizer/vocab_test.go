package tokenizer_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/testdata"
)

// ggufMeta reads the metadata of a GGUF file that the tests trust. The real
// reader, which trusts nothing, is another package's.
func ggufMeta(t testing.TB, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := 4
	u32 := func() uint32 { p += 4; return binary.LittleEndian.Uint32(data[p-4:]) }
	u64 := func() uint64 { p += 8; return binary.LittleEndian.Uint64(data[p-8:]) }
	str := func() string { n := int(u64()); p += n; return string(data[p-n : p]) }
	var value func(kind uint32) any
	value = func(kind uint32) any {
		switch kind {
		case 4:
			return int(u32())
		case 5:
			return int32(u32())
		case 6:
			return math.Float32frombits(u32())
		case 7:
			p++
			return data[p-1] != 0
		case 8:
			return str()
		case 9:
			elem, n := u32(), u64()
			switch elem {
			case 5:
				return list[int32](n, func() any { return value(elem) })
			case 6:
				return list[float32](n, func() any { return value(elem) })
			case 8:
				return list[string](n, func() any { return value(elem) })
			}
		}
		t.Fatalf("%s: no reader for value type %d", path, kind)
		return nil
	}
	u32() // version
	u64() // tensors
	meta := map[string]any{}
	for n := u64(); n > 0; n-- {
		key := str()
		meta[key] = value(u32())
	}
	return meta
}

func list[T any](n uint64, next func() any) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = next().(T)
	}
	return out
}

func get[T any](meta map[string]any, key string, otherwise T) T {
	if v, ok := meta["tokenizer."+key].(T); ok {
		return v
	}
	return otherwise
}

func ggufVocab(t testing.TB, path string) tokenizer.GGUFVocab {
	m := ggufMeta(t, path)
	return tokenizer.GGUFVocab{
		Model: get(m, "ggml.model", ""), Pre: get(m, "ggml.pre", ""),
		Tokens: get[[]string](m, "ggml.tokens", nil), Scores: get[[]float32](m, "ggml.scores", nil),
		Types: get[[]int32](m, "ggml.token_type", nil), Merges: get[[]string](m, "ggml.merges", nil),
		BOS: get(m, "ggml.bos_token_id", -1), EOS: get(m, "ggml.eos_token_id", -1), UNK: get(m, "ggml.unknown_token_id", -1),
		AddBOS: get(m, "ggml.add_bos_token", false), AddEOS: get(m, "ggml.add_eos_token", false),
		AddSpacePrefix: get(m, "ggml.add_space_prefix", true),
	}
}

func ggufTokenizer(t testing.TB, path string) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.FromGGUF(ggufVocab(t, path))
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return tok
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestVocabularies holds the tokenizers against llama.cpp's 47 texts.
func TestVocabularies(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "vocab")
	for _, name := range []string{"gpt-2", "llama-spm", "phi-3"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "ggml-vocab-"+name+".gguf")
			tok := ggufTokenizer(t, path)
			in, err := os.ReadFile(path + ".inp")
			if err != nil {
				t.Fatal(err)
			}
			out, err := os.ReadFile(path + ".out")
			if err != nil {
				t.Fatal(err)
			}
			texts := strings.Split(strings.TrimSuffix(string(in), "\n__ggml_vocab_test__\n"), "\n__ggml_vocab_test__\n")
			lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			if len(texts) != len(lines) || len(texts) < 40 {
				t.Fatalf("%d texts and %d lines of ids", len(texts), len(lines))
			}
			for i, text := range texts {
				want := []int32{}
				for f := range strings.FieldsSeq(lines[i]) {
					id, err := strconv.Atoi(f)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, int32(id))
				}
				got := tok.Encode(text, tokenizer.NoSpecial)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("text %d %q:\n got %v\nwant %v", i, text, got, want)
				}
				if back := tok.Decode(got); back != text {
					t.Errorf("text %d: decoded %q, want %q", i, back, text)
				}
			}
		})
	}
}

// TestSmolLM2 holds ids and decoding against `tokenizers`.
func TestSmolLM2(t *testing.T) {
	tok := ggufTokenizer(t, testdata.SmolLM2(t))
	var golden struct {
		Cases []struct {
			Text     string
			IDs      []int32 `json:"ids"`
			IDsPlain []int32 `json:"ids_plain"`
			Decoded  *string
		}
	}
	readJSON(t, filepath.Join(testdata.Dir(t), "smollm2", "tokenizer.json"), &golden)
	if len(golden.Cases) < 100 {
		t.Fatalf("only %d cases", len(golden.Cases))
	}
	for i, c := range golden.Cases {
		ids := tok.Encode(c.Text, tokenizer.AllSpecial)
		if !reflect.DeepEqual(ids, c.IDs) {
			t.Errorf("case %d %q:\n got %v\nwant %v", i, c.Text, ids, c.IDs)
		}
		if plain := tok.Encode(c.Text, tokenizer.NoSpecial); !reflect.DeepEqual(plain, c.IDsPlain) {
			t.Errorf("case %d %q, special text as ordinary text:\n got %v\nwant %v", i, c.Text, plain, c.IDsPlain)
		}
		want := c.Text
		if c.Decoded != nil {
			want = *c.Decoded
		}
		if got := tok.Decode(ids); got != want {
			t.Errorf("case %d: decoded %q, want %q", i, got, want)
		}
	}
}

// TestSmolLM2Dialogs holds rendered dialogs against transformers. Ids agree
// where no message holds special-token text, which we keep as text.
func TestSmolLM2Dialogs(t *testing.T) {
	path := testdata.SmolLM2(t)
	tok := ggufTokenizer(t, path)
	template := get(ggufMeta(t, path), "chat_template", "")
	if f := tokenizer.DetectChatFormat(template, tok); f != tokenizer.ChatML {
		t.Fatalf("chat format %q", f)
	}
	var golden struct {
		Dialogs []struct {
			Messages []tokenizer.Message
			Rendered string  `json:"rendered_with_prompt"`
			IDs      []int32 `json:"ids_with_prompt"`
		}
	}
	readJSON(t, filepath.Join(testdata.Dir(t), "smollm2", "golden.json"), &golden)
	if len(golden.Dialogs) != 8 {
		t.Fatalf("%d dialogs", len(golden.Dialogs))
	}
	for i, d := range golden.Dialogs {
		ids, text, err := tok.EncodeDialog(tokenizer.ChatML, template, d.Messages)
		if err != nil {
			t.Fatal(err)
		}
		if text != d.Rendered {
			t.Errorf("dialog %d:\n got %q\nwant %q", i, text, d.Rendered)
		}
		if got := tok.Encode(text, tokenizer.AllSpecial); !reflect.DeepEqual(got, d.IDs) {
			t.Errorf("dialog %d as text:\n got %v\nwant %v", i, got, d.IDs)
		}
		if strings.Contains(fmt.Sprint(d.Messages), "<|im_end|>") {
			if back := tok.Decode(ids); back != text || reflect.DeepEqual(ids, d.IDs) {
				t.Errorf("dialog %d: special-token text in a message was not kept as text", i)
			}
			continue
		}
		if !reflect.DeepEqual(ids, d.IDs) {
			t.Errorf("dialog %d:\n got %v\nwant %v", i, ids, d.IDs)
		}
	}
}

// TestStories holds both files of stories260K's vocabulary against its golden ids
// and text.
func TestStories(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "stories260k")
	var golden struct {
		Cases []struct {
			Prompt     string
			PromptIDs  []int32 `json:"prompt_ids"`
			GreedyIDs  []int32 `json:"greedy_ids"`
			GreedyText string  `json:"greedy_text"`
		}
	}
	readJSON(t, filepath.Join(dir, "golden.json"), &golden)
	for _, name := range []string{"tokenizer.model", "tokenizer.json"} {
		data, err := os.ReadFile(filepath.Join(dir, "hf_f32", name))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.FromBytes(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if tok.Size() != 512 || tok.BOS() != 1 || tok.EOS() != 2 || tok.UNK() != 0 || !tok.AddBOS() || tok.Kind() != tokenizer.SentencePiece {
			t.Errorf("%s: size %d, bos %d, eos %d, unk %d, adds BOS %v, kind %s", name, tok.Size(), tok.BOS(), tok.EOS(), tok.UNK(), tok.AddBOS(), tok.Kind())
		}
		for i, c := range golden.Cases {
			ids := append([]int32{int32(tok.BOS())}, tok.Encode(c.Prompt, tokenizer.NoSpecial)...)
			if !reflect.DeepEqual(ids, c.PromptIDs) {
				t.Errorf("%s: prompt %d %q:\n got %v\nwant %v", name, i, c.Prompt, ids, c.PromptIDs)
			}
			// Without BOS, which tokenizer.json shows as text and tokenizer.model does not.
			if got, want := tok.Decode(c.GreedyIDs[1:]), strings.TrimPrefix(c.GreedyText, " "); got != want {
				t.Errorf("%s: text %d:\n got %q\nwant %q", name, i, got, want)
			}
		}
	}
}
