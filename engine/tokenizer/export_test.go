package tokenizer

// Classes are the predicates over characters that splitting rests on.
var Classes = map[string]func(rune) bool{
	"letter":  func(r rune) bool { return classOf(r) == letter },
	"number":  func(r rune) bool { return classOf(r) == number },
	"space":   func(r rune) bool { return classOf(r) == space },
	"numeric": isNumeric,
	"word":    isWord,
}
