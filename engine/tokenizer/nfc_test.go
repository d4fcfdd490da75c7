package tokenizer

import (
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

func TestNFC(t *testing.T) {
	many := strings.Repeat("\u0316", 40)
	for _, tc := range []struct{ name, text, want string }{
		{"ascii", "plain text", "plain text"},
		{"composes", "cafe\u0301", "caf\u00e9"},
		{"stays", "caf\u00e9", "caf\u00e9"},
		{"singleton", "\u212b", "\u00c5"},
		{"excluded", "\u0958", "\u0915\u093c"},
		{"hangul", "\u1112\u1161\u11ab", "\ud55c"},
		{"marks in order", "a\u0301\u0323", "\u1ea1\u0301"},
		{"compatibility stays", "\ufb01\u00b2", "\ufb01\u00b2"},
		{"a joiner of the text's own", "a\u034f\u0301", "a\u034f\u0301"},
		{"many marks", "a" + many, "a" + many},
		{"many marks and one that composes", "a" + many + "\u0301x", "\u00e1" + many + "x"},
		{"many marks and one that is blocked", "a" + many + "\u0315\u0301", "\u00e1" + many + "\u0315"},
		{"many equal marks", "e" + strings.Repeat("\u0301", 40), "\u00e9" + strings.Repeat("\u0301", 39)},
		{"a joiner and many marks", "\u034fo" + many + "\u0302\u0301", "\u034f\u1ed1" + many},
	} {
		if got := nfc(tc.text); got != tc.want {
			t.Errorf("%s: %+q, want %+q", tc.name, got, tc.want)
		}
	}
}

// TestComposeIsNFC: our own composition and package norm's agree wherever it puts
// no joiners.
func TestComposeIsNFC(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	marks := []rune("\u0300\u0301\u0302\u0308\u0316\u0323\u0327\u0345\u0344\u093c\u3099\u0f71\u0f72\u0f73\u034f")
	starters := []rune("aeoACh\u00e1\u1ea1\u0915\u0928\u304b\u1112\u1161\u11ab\uac00\ud55c\u212b\u0958\u0f40")
	for range 20_000 {
		var b strings.Builder
		for range 1 + r.IntN(8) {
			if r.IntN(5) == 0 {
				if c := rune(r.IntN(0x30000)); c < 0xD800 || c > 0xDFFF {
					b.WriteRune(c)
				}
			}
			b.WriteRune(starters[r.IntN(len(starters))])
			for range r.IntN(4) {
				b.WriteRune(marks[r.IntN(len(marks))])
			}
		}
		text := b.String()
		if got, want := compose(decompose(text)), norm.NFC.String(text); got != want {
			t.Fatalf("%+q: %+q, want %+q", text, got, want)
		}
	}
}
