package tokenizer_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine/tokenizer"
)

// wantError checks that a hostile or unsupported file is refused with a typed
// error that says what was found.
func wantError(t *testing.T, err error, says string) {
	t.Helper()
	var typed *tokenizer.Error
	if !errors.As(err, &typed) || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, expected one that says %q", err, says)
	}
}

func TestAttacksJSON(t *testing.T) {
	part := func(kind string, more ...any) map[string]any {
		m := map[string]any{"type": kind}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	type object = map[string]any
	for _, c := range []struct {
		name, says string
		edit       func(file, model object)
	}{
		{"unigram", `"Unigram"`, func(_, m object) { m["type"] = "Unigram"; m["vocab"] = []any{} }},
		{"wordpiece", `"WordPiece"`, func(_, m object) { m["type"] = "WordPiece" }},
		{"unknown pattern", `\\p{Han}+`, func(f, _ object) {
			f["pre_tokenizer"] = part("Split", "pattern", object{"Regex": `\p{Han}+`}, "behavior", "Isolated")
		}},
		{"split behavior", "MergedWithNext", func(f, _ object) {
			f["pre_tokenizer"] = part("Split", "pattern", object{"Regex": tokenizer.PatternLl3}, "behavior", "MergedWithNext")
		}},
		{"pre-tokenizer", `"BertPreTokenizer"`, func(f, _ object) { f["pre_tokenizer"] = part("BertPreTokenizer") }},
		{"pre-tokenizer is a number", "found 7", func(f, _ object) { f["pre_tokenizer"] = 7 }},
		{"after ByteLevel", "must be last", func(f, _ object) {
			f["pre_tokenizer"] = part("Sequence", "pretokenizers", []any{part("ByteLevel"), part("Digits")})
		}},
		{"normalizer", `"Lowercase"`, func(f, _ object) { f["normalizer"] = part("Sequence", "normalizers", []any{part("Lowercase")}) }},
		{"normalizer bomb", "times longer", func(f, _ object) {
			double := part("Replace", "pattern", object{"String": "a"}, "content", "aa")
			f["normalizer"] = part("Sequence", "normalizers", slices.Repeat([]any{double}, 40))
		}},
		{"decoder", `"WordPiece"`, func(f, _ object) { f["decoder"] = part("WordPiece") }},
		{"post-processor", `"BertProcessing"`, func(f, _ object) { f["post_processor"] = part("BertProcessing") }},
		{"template token", `"nowhere"`, func(f, _ object) {
			f["post_processor"] = part("TemplateProcessing", "single", []any{object{"SpecialToken": object{"id": "nowhere"}}})
		}},
		{"dropout", "dropout", func(_, m object) { m["dropout"] = 0.1 }},
		{"prefix", "continuing_subword_prefix", func(_, m object) { m["continuing_subword_prefix"] = "##" }},
		{"unknown token", `"<none>"`, func(_, m object) { m["unk_token"] = "<none>" }},
		{"empty merge part", "empty part", func(_, m object) { m["merges"] = []any{[]any{"a", ""}} }},
		{"merge cycle", "not in the vocabulary", func(_, m object) { m["merges"] = []any{[]any{"a", "b"}, []any{"ab", "a"}} }},
		{"merge of three", "one space", func(_, m object) { m["merges"] = []any{"a b c"} }},
		{"merge list of three", "more than two", func(_, m object) { m["merges"] = []any{[]any{"a", "b", "c"}} }},
		{"merge of one", "expected 2", func(_, m object) { m["merges"] = []any{[]any{"a"}} }},
		{"many merges", "more than 1048576 merges", func(_, m object) { m["merges"] = slices.Repeat([]any{"a a"}, 1<<20+1) }},
		{"huge id", "at most 1048576", func(_, m object) { m["vocab"].(object)["zz"] = 1 << 20 }},
		{"negative id", "has id -1", func(_, m object) { m["vocab"].(object)["zz"] = -1 }},
		{"fractional id", "found", func(_, m object) { m["vocab"].(object)["zz"] = 1.5 }},
		{"same id", "both have id 5", func(_, m object) { m["vocab"].(object)["zz"] = 5 }},
		{"long token", "1048576 bytes", func(_, m object) { m["vocab"].(object)[strings.Repeat("x", 1<<20)] = 300 }},
		{"added id taken", "both have id 5", func(f, _ object) {
			f["added_tokens"] = []any{object{"id": 5, "content": "<x>", "normalized": false}}
		}},
		{"added twice", "occurs twice", func(f, _ object) {
			f["added_tokens"] = []any{object{"id": 900, "content": "<x>"}, object{"id": 901, "content": "<x>"}}
		}},
		{"added without id", "has id -1", func(f, _ object) { f["added_tokens"] = []any{object{"content": "<x>"}} }},
		{"empty vocabulary", "empty", func(_, m object) { m["vocab"] = object{} }},
		{"no model", "no \"model\"", func(f, _ object) { delete(f, "model") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tokenizer.FromJSON(tinyJSON(t, c.edit))
			if c.name == "merge cycle" && err == nil {
				t.Fatal("accepted")
			}
			wantError(t, err, c.says)
		})
	}
	good := string(tinyJSON(t, nil))
	for _, c := range []struct{ name, text, says string }{
		{"duplicate key", strings.Replace(good, `"version":`, `"model":{},"version":`, 1), "occurs twice"},
		{"duplicate token", strings.Replace(good, `"vocab":{`, `"vocab":{"!":0,`, 1), "twice"},
		{"other case", strings.Replace(good, `"model":`, `"Model":`, 1), "no \"model\""},
		{"trailing data", good + "x", "after the end"},
		{"NUL at the end", good + "\x00", "after the end"},
		{"lone surrogate", strings.Replace(good, `"vocab":{`, `"vocab":{"\ud800":999,`, 1), "surrogate"},
		{"invalid UTF-8", strings.Replace(good, `"vocab":{`, "\"vocab\":{\"\xff\":999,", 1), "UTF-8"},
		{"control character", strings.Replace(good, `"vocab":{`, "\"vocab\":{\"\n\":999,", 1), "control character"},
		{"deep", `{"x":` + strings.Repeat("[", 1<<20), "deeper"},
		{"empty", "", "ends"},
		{"array", "[]", "expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tokenizer.FromJSON([]byte(c.text))
			wantError(t, err, c.says)
		})
	}
	for n := 0; n < len(good); n += 17 {
		if _, err := tokenizer.FromJSON([]byte(good[:n])); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(good))
		}
	}
}

func TestAttacksModel(t *testing.T) {
	with := func(p ...tinyPiece) []tinyPiece { return append(tinyPieces(), p...) }
	for _, c := range []struct {
		name, says string
		m          tinyModel
	}{
		{"unigram", "UNIGRAM", tinyModel{trainer: map[int]any{3: 1}}},
		{"word", "WORD", tinyModel{trainer: map[int]any{3: 3}}},
		{"unknown kind", "type 9", tinyModel{trainer: map[int]any{3: 9}}},
		{"normalizer", `"nmt_nfkc"`, tinyModel{norm: map[int]any{1: "nmt_nfkc", 2: "rules"}}},
		{"suffix", "suffix", tinyModel{trainer: map[int]any{24: 1}}},
		{"no trainer", "no trainer spec", tinyModel{noHeader: true}},
		{"no bytes", "0 byte pieces", tinyModel{noByte: true}},
		{"bad byte", "expected a byte", tinyModel{pieces: with(tinyPiece{"<0xG0>", 0, 6})}},
		{"byte twice", "expected a byte", tinyModel{pieces: with(tinyPiece{"<0x41>", 0, 6}, tinyPiece{"<0x41>", 0, 6})}},
		{"duplicate", "are both", tinyModel{pieces: with(tinyPiece{"ab", 0, 1})}},
		{"empty piece", "empty", tinyModel{pieces: with(tinyPiece{"", 0, 1})}},
		{"not UTF-8", "not UTF-8", tinyModel{pieces: with(tinyPiece{"\xff", 0, 1})}},
		{"type", "type 7", tinyModel{pieces: with(tinyPiece{"x", 0, 7})}},
		{"NaN", "NaN", tinyModel{pieces: with(tinyPiece{"x", float32(math.NaN()), 1})}},
		{"infinite", "+Inf", tinyModel{pieces: with(tinyPiece{"x", float32(math.Inf(1)), 1})}},
		{"long piece", "1048576 bytes", tinyModel{pieces: with(tinyPiece{strings.Repeat("x", 1<<20), 0, 1})}},
		{"two unknowns", "both the unknown", tinyModel{pieces: with(tinyPiece{"<u>", 0, 2})}},
		{"no unknown", "no unknown", tinyModel{pieces: tinyPieces()[1:]}},
		{"bos out of range", "bos_id is 9999", tinyModel{trainer: map[int]any{41: 9999}}},
		{"wire type", "wire type 0", tinyModel{trainer: map[int]any{44: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tokenizer.FromModel(c.m.bytes())
			wantError(t, err, c.says)
		})
	}
	good := tinyModel{}.bytes()
	if _, err := tokenizer.FromBytes(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if tok, err := tokenizer.FromModel(good[:n]); err == nil && tok.Size() != 256+len(tinyPieces()) {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(good))
		}
	}
	for _, c := range []struct{ name, text, says string }{
		{"tiktoken", "IQ== 0\nIg== 1\n", "tiktoken"},
		{"text", "hello", "not a"},
		{"empty", "", "not a"},
		{"length beyond the end", "\x0a\xff\xff\xff\xff\x0f", "are left"},
		{"endless number", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "no number"},
		{"field 0", "\x0a\x00\x00\x01", "field number 0"},
		{"group", "\x0a\x00\x0b", "wire type 3"},
	} {
		_, err := tokenizer.FromBytes([]byte(c.text))
		wantError(t, err, c.says)
	}
}

func TestAttacksGGUF(t *testing.T) {
	good := func() tokenizer.GGUFVocab {
		return tokenizer.GGUFVocab{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"}, BOS: -1, EOS: -1, UNK: -1}
	}
	if _, err := tokenizer.FromGGUF(good()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, says string
		edit       func(v *tokenizer.GGUFVocab)
	}{
		{"kind", `"t5"`, func(v *tokenizer.GGUFVocab) { v.Model = "t5" }},
		{"split", `"tekken"`, func(v *tokenizer.GGUFVocab) { v.Pre = "tekken" }},
		{"no split", "missing", func(v *tokenizer.GGUFVocab) { v.Pre = "" }},
		{"no tokens", "empty", func(v *tokenizer.GGUFVocab) { v.Tokens = nil }},
		{"many tokens", "1048577 tokens", func(v *tokenizer.GGUFVocab) { v.Tokens = make([]string, 1<<20+1) }},
		{"long token", "4097 bytes", func(v *tokenizer.GGUFVocab) { v.Tokens[0] = strings.Repeat("a", 4097) }},
		{"all tokens", "67112960 bytes", func(v *tokenizer.GGUFVocab) {
			v.Tokens = slices.Repeat([]string{strings.Repeat("a", 4096)}, 1<<14+1)
		}},
		{"many merges", "1048577 merges", func(v *tokenizer.GGUFVocab) { v.Merges = make([]string, 1<<20+1) }},
		{"merge", "one space", func(v *tokenizer.GGUFVocab) { v.Merges = []string{"ab"} }},
		{"merge result", `result "ba"`, func(v *tokenizer.GGUFVocab) { v.Merges = []string{"b a"} }},
		{"types", "2 entries", func(v *tokenizer.GGUFVocab) { v.Types = []int32{1, 1} }},
		{"bos", "bos_token_id is 3", func(v *tokenizer.GGUFVocab) { v.BOS = 3 }},
		{"eos", "eos_token_id is -2", func(v *tokenizer.GGUFVocab) { v.EOS = -2 }},
		{"scores", ".scores 0", func(v *tokenizer.GGUFVocab) { v.Model = "llama" }},
		{"added tokens", "1048576 are supported", func(v *tokenizer.GGUFVocab) {
			v.Tokens, v.Types, v.Merges = nil, nil, nil
			for i := range 300 {
				v.Tokens = append(v.Tokens, strings.Repeat("x", 4000)+string(rune('a'+i)))
				v.Types = append(v.Types, 3)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := good()
			c.edit(&v)
			_, err := tokenizer.FromGGUF(v)
			wantError(t, err, c.says)
		})
	}
}

// TestLinearTime gives each tokenizer a megabyte of each hard text. Quadratic
// time would take hours; the limit leaves room for other work.
func TestLinearTime(t *testing.T) {
	toks := map[string]*tokenizer.Tokenizer{"tiny": tiny(t)}
	if spm, err := tokenizer.FromModel((tinyModel{}).bytes()); err != nil {
		t.Fatal(err)
	} else {
		toks["tiny-spm"] = spm
	}
	// Special tokens that are each other's prefixes make a naive search quadratic.
	v := tokenizer.GGUFVocab{Model: "gpt2", Pre: "llama-bpe", BOS: -1, EOS: -1, UNK: -1}
	for n := range 1024 {
		v.Tokens, v.Types = append(v.Tokens, strings.Repeat("a", n)+"b"), append(v.Types, 3)
	}
	v.Tokens, v.Types = append(v.Tokens, "a"), append(v.Types, 1)
	long, err := tokenizer.FromGGUF(v)
	if err != nil {
		t.Fatal(err)
	}
	toks["prefixes"] = long
	// Tokens of white space that strip white space on both sides.
	stripping, err := tokenizer.FromJSON(tinyJSON(t, func(f, _ map[string]any) {
		f["added_tokens"] = []any{
			map[string]any{"id": 900, "content": " ", "lstrip": true, "rstrip": true},
			map[string]any{"id": 901, "content": "\t"}, map[string]any{"id": 902, "content": "\n", "rstrip": true, "single_word": true},
		}
		f["post_processor"] = nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	toks["stripping"] = stripping
	size := megabyte
	if raceEnabled {
		size /= 8
	}
	for name, tok := range toks {
		for _, h := range hardTexts {
			text := h.make(size)
			start := time.Now()
			ids := tok.Encode(text, tokenizer.AllSpecial)
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%s, %s: %v for %d bytes", name, h.name, d, size)
			}
			if name == "tiny" {
				if got := joined(tok, ids); got != text {
					t.Errorf("%s: bytes were lost", h.name)
				}
			}
		}
	}
}

func joined(tok *tokenizer.Tokenizer, ids []int32) string {
	var b bytes.Buffer
	for _, id := range ids {
		b.Write(tok.Bytes(id))
	}
	return b.String()
}

// TestRoundTrips encodes random bytes: a byte-level vocabulary loses none, valid
// or not, special-token text or not.
func TestRoundTrips(t *testing.T) {
	tok := tiny(t)
	r := rand.New(rand.NewPCG(1, 2))
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 50_000
	}
	buf := make([]byte, 0, 64)
	for i := range n {
		buf = buf[:0]
		for range r.IntN(12) {
			if r.IntN(4) == 0 {
				buf = append(buf, nasty[r.IntN(len(nasty))]...)
			} else {
				buf = append(buf, byte(r.Uint32()))
			}
		}
		special := tokenizer.NoSpecial
		if i%2 == 0 {
			special = tokenizer.AllSpecial
		}
		if got := joined(tok, tok.Encode(string(buf), special)); got != string(buf) {
			t.Fatalf("%q became %q", buf, got)
		}
	}
}
