package tokenizer

import "unicode"

// The peers follow newer Unicode tables than Go 1.26 (15.0): the regular
// expressions of `tokenizers` 0.23 follow 16.0 and its Digits pre-tokenizer
// 17.0. A code point of another class splits words elsewhere, so the missing
// ranges are added here. TestPeersClasses compares every code point.
var (
	letters16 = &unicode.RangeTable{
		R16: []unicode.Range16{{0x1C89, 0x1C8A, 1}, {0xA7CB, 0xA7CD, 1}, {0xA7DA, 0xA7DC, 1}},
		R32: []unicode.Range32{
			{0x105C0, 0x105F3, 1}, {0x10D4A, 0x10D65, 1}, {0x10D6F, 0x10D85, 1}, {0x10EC2, 0x10EC4, 1},
			{0x11380, 0x11389, 1}, {0x1138B, 0x1138B, 1}, {0x1138E, 0x1138E, 1}, {0x11390, 0x113B5, 1},
			{0x113B7, 0x113B7, 1}, {0x113D1, 0x113D1, 1}, {0x113D3, 0x113D3, 1}, {0x11BC0, 0x11BE0, 1},
			{0x13460, 0x143FA, 1}, {0x16100, 0x1611D, 1}, {0x16D40, 0x16D6C, 1}, {0x18CFF, 0x18CFF, 1},
			{0x1E5D0, 0x1E5ED, 1}, {0x1E5F0, 0x1E5F0, 1}, {0x2EBF0, 0x2EE5D, 1},
		},
	}
	numbers16 = &unicode.RangeTable{
		R32: []unicode.Range32{
			{0x10D40, 0x10D49, 1}, {0x116D0, 0x116E3, 1}, {0x11BF0, 0x11BF9, 1}, {0x16130, 0x16139, 1},
			{0x16D70, 0x16D79, 1}, {0x1CCF0, 0x1CCF9, 1}, {0x1E5F1, 0x1E5FA, 1},
		},
	}
	marks16 = &unicode.RangeTable{
		R16: []unicode.Range16{{0x897, 0x897, 1}},
		R32: []unicode.Range32{
			{0x10D69, 0x10D6D, 1}, {0x10EFC, 0x10EFC, 1}, {0x113B8, 0x113C0, 1}, {0x113C2, 0x113C2, 1},
			{0x113C5, 0x113C5, 1}, {0x113C7, 0x113CA, 1}, {0x113CC, 0x113D0, 1}, {0x113D2, 0x113D2, 1},
			{0x113E1, 0x113E2, 1}, {0x11F5A, 0x11F5A, 1}, {0x1611E, 0x1612F, 1}, {0x1E5EE, 0x1E5EF, 1},
		},
	}
	numbers17 = &unicode.RangeTable{
		R32: []unicode.Range32{{0x11DE0, 0x11DE9, 1}, {0x16FF4, 0x16FF6, 1}},
	}
)

// class is what the split patterns ask of a character.
type class uint8

const (
	other  class = iota // neither of the rest, and every byte of invalid UTF-8
	letter              // \p{L}
	number              // \p{N}
	space               // \s, which is White_Space
)

var asciiClass = func() (t [0x80]class) {
	for r := range rune(len(t)) {
		t[r] = slowClass(r)
	}
	return t
}()

// classOf returns the class of a valid rune.
func classOf(r rune) class {
	if r < 0x80 {
		return asciiClass[r]
	}
	return slowClass(r)
}

func slowClass(r rune) class {
	switch {
	case unicode.IsLetter(r) || unicode.Is(letters16, r):
		return letter
	case unicode.IsNumber(r) || unicode.Is(numbers16, r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// isNumeric is what the Digits pre-tokenizer splits at (Rust's
// char::is_numeric: Nd, Nl, No).
func isNumeric(r rune) bool {
	if r < 0x80 {
		return '0' <= r && r <= '9'
	}
	return unicode.IsNumber(r) || unicode.Is(numbers16, r) || unicode.Is(numbers17, r)
}

// isWord is \w of Rust's regex crate: Alphabetic, M, Nd, Pc, Join_Control.
func isWord(r rune) bool {
	return classOf(r) == letter || r == 0x200C || r == 0x200D ||
		unicode.In(r, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, marks16, numbers16,
			unicode.Other_Alphabetic, unicode.Other_Lowercase, unicode.Other_Uppercase)
}
