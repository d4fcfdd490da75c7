package tokenizer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/testdata"
)

const megabyte = 1 << 20

// hardTexts are inputs on which a backtracking regular expression or a naive
// merge loop takes quadratic time, and ordinary ones.
var hardTexts = []struct {
	name string
	make func(n int) string
}{
	{"prose", func(n int) string {
		return fill("The quick brown fox jumps over 12 lazy dogs, and it isn't tired yet.\nSo the story goes on, as stories do: ", n)
	}},
	{"one letter", func(n int) string { return fill("a", n) }},
	{"letters", func(n int) string { return fill("abcdefghijklmnopqrstuvwxyz", n) }},
	{"spaces", func(n int) string { return fill(" ", n) }},
	{"spaces and a letter", func(n int) string { return fill(strings.Repeat(" ", 1000)+"a", n) }},
	{"newlines", func(n int) string { return fill("\n \t", n) }},
	{"punctuation", func(n int) string { return fill("!?", n) }},
	{"digits", func(n int) string { return fill("1234567890", n) }},
	{"quotes", func(n int) string { return fill("'", n) }},
	{"specials", func(n int) string { return fill("<|im_end|>", n) }},
	{"almost specials", func(n int) string { return fill("<|im_end|", n) }},
	{"invalid bytes", func(n int) string { return fill("\xff\xc3", n) }},
	{"one mark", func(n int) string { return fill("▁", n) }},
	{"cjk", func(n int) string { return fill("東京都は日本の首都である", n) }},
	{"random letters", func(n int) string {
		b := make([]byte, n)
		x := uint32(1)
		for i := range b {
			x = x*1664525 + 1013904223
			b[i] = 'a' + byte(x>>24)%26
		}
		return string(b)
	}},
}

func fill(part string, n int) string { return strings.Repeat(part, n/len(part)+1)[:n] }

func benchTokenizers(b testing.TB) map[string]*tokenizer.Tokenizer {
	return map[string]*tokenizer.Tokenizer{
		"smollm2":   ggufTokenizer(b, testdata.SmolLM2(b)),
		"llama-spm": ggufTokenizer(b, filepath.Join(testdata.Dir(b), "vocab", "ggml-vocab-llama-spm.gguf")),
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, tok := range benchTokenizers(b) {
		for _, h := range hardTexts {
			b.Run(name+"/"+strings.ReplaceAll(h.name, " ", "-"), func(b *testing.B) {
				text := h.make(megabyte)
				b.SetBytes(megabyte)
				for b.Loop() {
					tok.Encode(text, tokenizer.AllSpecial)
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, tok := range benchTokenizers(b) {
		b.Run(name, func(b *testing.B) {
			ids := tok.Encode(hardTexts[0].make(megabyte), tokenizer.NoSpecial)
			b.SetBytes(megabyte)
			for b.Loop() {
				tok.Decode(ids)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	smollm2 := ggufVocab(b, testdata.SmolLM2(b))
	llama := ggufVocab(b, filepath.Join(testdata.Dir(b), "vocab", "ggml-vocab-llama-spm.gguf"))
	json, err := os.ReadFile(filepath.Join(testdata.Dir(b), "stories260k", "hf_f32", "tokenizer.json"))
	if err != nil {
		b.Fatal(err)
	}
	for _, l := range []struct {
		name string
		load func() (*tokenizer.Tokenizer, error)
	}{
		{"smollm2", func() (*tokenizer.Tokenizer, error) { return tokenizer.FromGGUF(smollm2) }},
		{"llama-spm", func() (*tokenizer.Tokenizer, error) { return tokenizer.FromGGUF(llama) }},
		{"stories260k-json", func() (*tokenizer.Tokenizer, error) { return tokenizer.FromJSON(json) }},
	} {
		b.Run(l.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := l.load(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
