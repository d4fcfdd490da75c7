package tokenizer_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/testdata"
)

// peersPython is a Python that has tokenizers and sentencepiece.
func peersPython(t testing.TB) string {
	python := os.Getenv("LLAMA_GO_PEERS_PYTHON")
	if python == "" {
		t.Skip("LLAMA_GO_PEERS_PYTHON names no python with tokenizers and sentencepiece")
	}
	return python
}

// peerCase is one question to a peer and its answer.
type peerCase struct {
	text    string
	ids     []int32 // to decode
	answers struct {
		IDs, Plain    []int32
		Back, Decoded string
	}
}

// ask fills in the answers of testdata/peers.py.
func ask(t testing.TB, kind, file string, cases []peerCase) {
	t.Helper()
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, c := range cases {
		err := enc.Encode(map[string]any{"text": base64.StdEncoding.EncodeToString([]byte(c.text)), "ids": c.ids})
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(peersPython(t), filepath.Join("testdata", "peers.py"), kind, file)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("peers.py %s: %v", kind, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	n := 0
	for ; lines.Scan(); n++ {
		if err := json.Unmarshal(lines.Bytes(), &cases[n].answers); err != nil {
			t.Fatal(err)
		}
	}
	if n != len(cases) {
		t.Fatalf("peers.py %s answered %d of %d", kind, n, len(cases))
	}
}

// nasty are parts of random texts that split, merge or decode in odd ways.
var nasty = []string{
	" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\v", "\f", "\u0085", "\u00a0", "\u200b", "\u2028", "\u2029", "\u3000", "\ufeff", "\u180e", "\u1680",
	"'s", "'S", "'ſ", "'t", "'re", "'RE", "'Ve", "'lL", "'ll", "'d", "'m", "'", "''", "’s", "'r", "'l", "'v",
	"the", " the", "Hello", " world", "thesis", "Once upon a time", "Lily", "word", "words", "mask", " mask ", "a b", "a  b", "ab", "aaaaaaaa", "xyxyxy", "abc", "qqq", "thesisx",
	"0", "1", "12", "123", "1234567", "33 333", "½", "²", "Ⅷ", "١٢٣", "१२३", "𝟘𝟙", "〇", "\U00010D40", "\U00011DE0", "\U00016FF4",
	"é", "e\u0301", "ñ", "ß", "ẞ", "İ", "ı", "ﬁ", "Å", "Ω", "Grüße", "naïve", "café",
	"cafe\u0301", "o\u0308", "a\u0323\u0302", "a\u0302\u0323", "\u212b", "\u0958", "\u1112\u1161\u11ab", "\uac00\u11a8", "\u0344", "\u0316", "\u0345", "\u034f",
	"東京", "世界", "こんにちは", "カ\u3099", "한국어", "ไทย", "हिन्दी", "ᚠ", "Привет", "мир", "שלום", "مرحبا", "\u200f", "\u202e", "𐐷", "\U0001E5D0", "\U0002EBF0", "\u1C89",
	"🌻", "👩‍👩‍👧", "🇩🇪", "❤️", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\u0300", "\u20dd", "\u200d", "\u200c", "ⓐ", "_", "‿",
	"\x00", "\x01", "\x04", "\x1c", "\x1f", "\x7f", "\x80\x81", "\xff", "\u00ad", "\u0378", "\ue000", "\ufffd", "\ufffe", "\U0010ffff",
	"!", "!!", "...", "--", "==", "#", "()", "{}", "[INST]", "<", ">", "|", "<|", "|>", "/", "\\", "\"", "`", "$", "%", "&", "@", "^", "~", "+", "“", "”", "–", "…", "€", "≤",
	"▁", "▁▁", "▁a", "Ġ", "Ċ", "<0x0A>", "<unk>", "<s>", "</s>", "<|end|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end", "<|eot_id|>", "<|eot|>", "<|eot", "<tool>", "<l>", "<r>", "<mask>", "<repo_name>",
	"def f(x):\n    return x", "http://a.b/c?d=e", "a@b.c", "x_y", "CamelCase", "ALLCAPS", "1st", "3.14", "a\tb", "a\u00a0b",
}

// randomText joins nasty parts and, at times, any characters.
func randomText(r *rand.Rand) string {
	var b strings.Builder
	for n := r.IntN(12); n >= 0; n-- {
		switch r.IntN(8) {
		case 0:
			for range r.IntN(4) {
				c := rune(r.IntN(0x110000))
				if r.IntN(2) == 0 {
					c = rune(r.IntN(0x3100))
				}
				if utf8.ValidRune(c) {
					b.WriteRune(c)
				}
			}
		case 1:
			for range r.IntN(6) {
				b.WriteByte(byte(r.IntN(0x80)))
			}
		case 2:
			b.WriteString(strings.Repeat(nasty[r.IntN(len(nasty))], r.IntN(30)))
		default:
			b.WriteString(nasty[r.IntN(len(nasty))])
		}
	}
	return b.String()
}

// compare holds a tokenizer against its peer on n random texts and id lists.
func compare(t *testing.T, tok *tokenizer.Tokenizer, kind, file string, n int) {
	t.Helper()
	spm := kind == "model" || kind == "pieces" // special text is never parsed, invalid bytes are taken
	r := rand.New(rand.NewPCG(10, uint64(len(file))))
	cases := make([]peerCase, n)
	for i := range cases {
		text := randomText(r)
		if !spm {
			text = strings.ToValidUTF8(text, "")
		}
		ids := []int32{} // not null
		for range r.IntN(8) {
			ids = append(ids, int32(r.IntN(tok.Size())))
		}
		cases[i] = peerCase{text: text, ids: ids}
	}
	ask(t, kind, file, cases)
	bad := 0
	check := func(what string, i int, equal bool, got, want any) {
		if bad++; !equal && bad < 10 {
			t.Errorf("%s of case %d %q %v:\n got %v\nwant %v", what, i, cases[i].text, cases[i].ids, got, want)
		}
		if equal {
			bad--
		}
	}
	for i, c := range cases {
		want := c.answers
		plain := tok.Encode(c.text, tokenizer.NoSpecial)
		check("ids without specials", i, slices.Equal(plain, want.Plain), plain, want.Plain)
		ids := plain
		if !spm {
			ids = tok.Encode(c.text, tokenizer.AllSpecial)
			check("ids", i, slices.Equal(ids, want.IDs), ids, want.IDs)
		}
		// A broken run of byte tokens is a U+FFFD for each byte of the whole run in
		// `tokenizers`, where we keep the characters in it, as sentencepiece does.
		broken := kind == "json" && tok.Kind() == tokenizer.SentencePiece
		if back := tok.Decode(ids); !broken || !strings.Contains(want.Back, "\ufffd") {
			check("decoded text", i, back == want.Back, back, want.Back)
		}
		if dec := tok.Decode(c.ids); !broken || !strings.Contains(want.Decoded, "\ufffd") {
			check("decoded ids", i, dec == want.Decoded, dec, want.Decoded)
		}
	}
	if bad > 0 {
		t.Errorf("%d differences", bad)
	}
}

// Real vocabularies and Llama 3's rules get many cases, variations of rules fewer.
const (
	peerCases = 10_000
	fewCases  = 3_000
)

// TestPeersGGUF compares vocabularies of GGUF files.
func TestPeersGGUF(t *testing.T) {
	peersPython(t)
	vocab := filepath.Join(testdata.Dir(t), "vocab")
	for _, v := range []struct{ name, kind, path string }{
		{"smollm2", "bpe", ""},
		{"gpt-2", "bpe", filepath.Join(vocab, "ggml-vocab-gpt-2.gguf")},
		{"llama-spm", "pieces", filepath.Join(vocab, "ggml-vocab-llama-spm.gguf")},
	} {
		t.Run(v.name, func(t *testing.T) {
			path := v.path
			if path == "" {
				path = testdata.SmolLM2(t)
			}
			data, err := json.Marshal(ggufVocab(t, path))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "vocab")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			compare(t, ggufTokenizer(t, path), v.kind, file, peerCases)
		})
	}
}

// TestPeersFiles compares the files of stories260K and crafted ones, among them
// Llama 3's rules on a small vocabulary.
func TestPeersFiles(t *testing.T) {
	python := peersPython(t)
	stories := filepath.Join(testdata.Dir(t), "stories260k", "hf_f32")
	model := filepath.Join(stories, "tokenizer.model")
	dir := t.TempDir()
	if out, err := exec.Command(python, filepath.Join("testdata", "peers.py"), "make", dir, model).CombinedOutput(); err != nil {
		t.Fatalf("peers.py make: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(made) < 20 {
		t.Fatalf("%d crafted files, %v", len(made), err)
	}
	for _, path := range append(made, model, filepath.Join(stories, "tokenizer.json")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := tokenizer.FromBytes(data)
			if err != nil {
				t.Fatal(err)
			}
			n := fewCases
			if filepath.Dir(path) == stories || strings.HasPrefix(filepath.Base(path), "llama3") {
				n = peerCases
			}
			compare(t, tok, strings.TrimPrefix(filepath.Ext(path), "."), path, n)
		})
	}
}

// TestPeersClasses compares the classes of all characters.
func TestPeersClasses(t *testing.T) {
	out, err := exec.Command(peersPython(t), filepath.Join("testdata", "peers.py"), "classes").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][][2]rune
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for name, member := range tokenizer.Classes {
		in := map[rune]bool{}
		for _, r := range want[name] {
			for c := r[0]; c <= r[1]; c++ {
				in[c] = true
			}
		}
		if len(in) < 20 {
			t.Errorf("%s: the peer has only %d", name, len(in))
		}
		for c := rune(0); c <= utf8.MaxRune; c++ {
			if utf8.ValidRune(c) && member(c) != in[c] {
				t.Errorf("%U is %s: got %v, want %v", c, name, member(c), in[c])
			}
		}
	}
}
