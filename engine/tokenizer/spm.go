package tokenizer

func ggufSentencePiece(v GGUFVocab) (*Tokenizer, error) { return nil, errorf("not yet") }
func FromModel(data []byte) (*Tokenizer, error)         { return nil, errorf("not yet") }
func FromJSON(data []byte) (*Tokenizer, error)          { return nil, errorf("not yet") }
func FromBytes(data []byte) (*Tokenizer, error)         { return nil, errorf("not yet") }
