package tokenizer_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/llama-go/llama-go/engine/tokenizer"
)

// use runs a tokenizer that a hostile file made.
func use(t *testing.T, tok *tokenizer.Tokenizer) {
	ids := tok.Encode("hello ab  \xff <s><|eot_id|>é\n12", tokenizer.AllSpecial)
	for _, id := range ids {
		if id < 0 || int(id) >= tok.Size() {
			t.Fatalf("id %d of %d", id, tok.Size())
		}
	}
	tok.Decode(ids)
	for _, special := range []int{tok.BOS(), tok.EOS(), tok.Pad(), tok.UNK()} {
		if special < -1 || special >= tok.Size() {
			t.Fatalf("special id %d of %d", special, tok.Size())
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(tinyJSON(f, nil))
	f.Add([]byte(`{"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3},"merges":["▁ a"]},` +
		`"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},` +
		`"added_tokens":[{"id":9,"content":"<s>","special":true,"lstrip":true,"rstrip":true,"single_word":true}],` +
		`"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}}`))
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first"},"decoder":{"type":"Metaspace"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if tok, err := tokenizer.FromJSON(data); err == nil {
			use(t, tok)
		}
	})
}

func FuzzModel(f *testing.F) {
	f.Add(tinyModel{}.bytes())
	f.Add(tinyModel{noByte: true, trainer: map[int]any{35: 0}, norm: map[int]any{3: 0, 4: 1}}.bytes())
	f.Add(tinyModel{pieces: append(tinyPieces(), tinyPiece{"abab", -9, 5}, tinyPiece{"a b", 0, 4})}.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if tok, err := tokenizer.FromModel(data); err == nil {
			use(t, tok)
		}
	})
}

func FuzzEncodeRoundTrip(f *testing.F) {
	tok := tiny(f)
	spm, err := tokenizer.FromModel(tinyModel{}.bytes())
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range nasty {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, special := range []tokenizer.Special{tokenizer.NoSpecial, tokenizer.AllSpecial, tokenizer.SpecialSet("<|eot_id|>")} {
			if got := joined(tok, tok.Encode(text, special)); got != text {
				t.Fatalf("%q became %q", text, got)
			}
		}
		// SentencePiece cannot tell a mark from a space.
		want := strings.ReplaceAll(string([]rune(text)), "▁", " ")
		if got := spm.Decode(spm.Encode(text, tokenizer.NoSpecial)); got != want {
			t.Fatalf("sentencepiece: %q became %q", text, got)
		}
	})
}

func FuzzStream(f *testing.F) {
	spm, err := tokenizer.FromModel(tinyModel{}.bytes())
	if err != nil {
		f.Fatal(err)
	}
	toks := []*tokenizer.Tokenizer{tiny(f), spm}
	f.Add([]byte{0, 0xC3, 0, 0xA9, 0, 0xE4, 0, 'a', 1, 9})
	f.Add([]byte{0, 3, 0, 11, 0, 0xFF, 0, 1, 0, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, tok := range toks {
			var ids []int32
			for d := data; len(d) > 1; d = d[2:] {
				ids = append(ids, int32(binary.BigEndian.Uint16(d))-2)
			}
			var got strings.Builder
			s := tok.NewStream()
			for _, id := range ids {
				part := s.Add(id)
				if !utf8.ValidString(part) {
					t.Fatalf("half a character: %q", part)
				}
				got.WriteString(part)
			}
			got.WriteString(s.Flush())
			if want := tok.Decode(ids); got.String() != want {
				t.Fatalf("ids %v streamed as %q, decoded as %q", ids, got.String(), want)
			}
		}
	})
}
