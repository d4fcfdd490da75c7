package tokenizer_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/llama-go/llama-go/engine/tokenizer"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, pattern, text string
		want                []string
	}{
		{"words", tokenizer.PatternLl3, "Hello  world", []string{"Hello", " ", " world"}},
		{"contractions fold", tokenizer.PatternLl3, "I'LL 'ſ 'x", []string{"I", "'LL", " '", "ſ", " '", "x"}},
		{"long s is an s", tokenizer.PatternLl3, "'ſ", []string{"'ſ"}},
		{"contractions of GPT-2 do not", tokenizer.PatternGPT2, "I'LL 'll", []string{"I", "'", "LL", " '", "ll"}},
		{"three digits", tokenizer.PatternLl3, "1234567 8", []string{"123", "456", "7", " ", "8"}},
		{"one digit", tokenizer.PatternQwen, "12½", []string{"1", "2", "½"}},
		{"digit runs", tokenizer.PatternGPT2, "a 1234", []string{"a", " 1234"}},
		{"line ends", tokenizer.PatternLl3, "a \n \n  b\r\n", []string{"a", " \n \n", " ", " b", "\r\n"}},
		{"punctuation takes line ends", tokenizer.PatternLl3, "x!!\n\ny", []string{"x", "!!\n\n", "y"}},
		{"mark before a letter", tokenizer.PatternLl3, "(a\ta\u00a0b", []string{"(a", "\ta", "\u00a0b"}},
		{"spaces at the end", tokenizer.PatternGPT2, "a   ", []string{"a", "   "}},
		{"spaces before a word", tokenizer.PatternGPT2, "a   b", []string{"a", "  ", " b"}},
		{"space that is not U+0020", tokenizer.PatternGPT2, "a\u3000\u3000b", []string{"a", "\u3000", "\u3000", "b"}},
		{"invalid bytes are marks", tokenizer.PatternGPT2, "a\xff\xfe b", []string{"a", "\xff\xfe", " b"}},
		{"newer letters", tokenizer.PatternGPT2, "a\u1C89", []string{"a\u1C89"}},
	} {
		if got := tokenizer.Split(c.pattern, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestMergeAlgorithms holds the two merge loops against each other.
func TestMergeAlgorithms(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		letters := func(n int) string {
			var b strings.Builder
			for range n {
				b.WriteByte("abc"[r.IntN(3)])
			}
			return b.String()
		}
		ranks := map[string]uint32{}
		for range r.IntN(40) {
			ranks[letters(2+r.IntN(4))] = uint32(r.IntN(100)) // also ranks that do not rise with length
		}
		word := letters(1 + r.IntN(60))
		small, queue := tokenizer.MergeBothWays(word, ranks)
		if !slices.Equal(small, queue) {
			t.Fatalf("%q with %v: %q and %q", word, ranks, small, queue)
		}
	}
}

func TestSpecials(t *testing.T) {
	tok := tiny(t)
	sp := tok.Specials()
	eot := int32(sp["<|eot_id|>"])
	text := "he<|eot_id|><|im_end|>"
	for _, c := range []struct {
		name    string
		special tokenizer.Special
		eots    int
		tail    bool // <|im_end|> is a token
	}{
		{"none", tokenizer.NoSpecial, 0, false}, {"all", tokenizer.AllSpecial, 1, true},
		{"one", tokenizer.SpecialSet("<|eot_id|>"), 1, false},
	} {
		ids := tok.Encode(text, c.special)
		n := 0
		for _, id := range ids {
			if id == eot {
				n++
			}
		}
		if n != c.eots || (ids[len(ids)-1] == int32(sp["<|im_end|>"])) != c.tail || tok.Decode(ids) != text {
			t.Errorf("%s: %v", c.name, ids)
		}
	}
	if !tok.AddBOS() || tok.BOS() != sp["<|begin_of_text|>"] || tok.Kind() != tokenizer.BPE {
		t.Errorf("BOS %d, wanted %v", tok.BOS(), tok.AddBOS())
	}
}

func TestPieces(t *testing.T) {
	spm, err := tokenizer.FromModel(tinyModel{}.bytes())
	if err != nil {
		t.Fatal(err)
	}
	ids := spm.Encode("ab é<mask>\xff", tokenizer.NoSpecial)
	want := []int32{8, 3, 9, 10, 11 + 0xEF, 11 + 0xBF, 11 + 0xBD}
	if !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
	for id, want := range map[int32]string{0: " ⁇ ", 1: "", 3: "", 7: "a", 8: "ab", 9: "é", 11 + 0xC3: "\ufffd", 11 + 'x': "x", -1: "", 9999: ""} {
		if got := spm.Piece(id); got != want {
			t.Errorf("piece %d is %q, want %q", id, got, want)
		}
	}
	if got := spm.Decode([]int32{1, 8, 8, 2}); got != "ab ab" {
		t.Errorf("decoded %q", got)
	}
	if got := spm.Encode("", tokenizer.AllSpecial); len(got) != 0 {
		t.Errorf("an empty text is %v", got)
	}
}

// TestConcurrent lets the race detector look at one tokenizer in many hands.
func TestConcurrent(t *testing.T) {
	tok := tiny(t)
	text := strings.Repeat("hello world <|eot_id|> ", 20) + strings.Repeat("hell", 50)
	want := tok.Encode(text, tokenizer.AllSpecial)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if ids := tok.Encode(text, tokenizer.AllSpecial); !slices.Equal(ids, want) || tok.Decode(ids) != text {
					t.Error("other ids in company")
				}
			}
		})
	}
	wg.Wait()
}
