package tokenizer

// Special says which special-token texts Encode parses as their tokens. The
// others are ordinary text. It does not touch added tokens that are not special
// ("user-defined"): their text is always their token.
type Special struct {
	all bool
	set map[string]bool
}

var (
	NoSpecial  = Special{}          // special-token text is ordinary text
	AllSpecial = Special{all: true} // every special-token text is its token
)

// SpecialSet parses the given special-token texts only.
func SpecialSet(texts ...string) Special {
	s := Special{set: make(map[string]bool, len(texts))}
	for _, t := range texts {
		s.set[t] = true
	}
	return s
}

func (s Special) allows(text string) bool { return s.all || s.set[text] }
