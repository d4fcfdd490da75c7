package rpc

// tokenize: TokenizeParams → IDs; detokenize: DetokenizeParams → TextResult;
// chat.encode: ChatParams → ChatResult.
const (
	MethodTokenize   = "tokenize"
	MethodDetokenize = "detokenize"
	MethodChatEncode = "chat.encode"
)

// TokenizeParams encodes text. AllowedSpecial lists the special tokens whose
// text is parsed as such (["all"]: every one); others are ordinary text.
type TokenizeParams struct {
	Model          string   `json:"model"`
	Text           string   `json:"text"`
	BOS            bool     `json:"bos"`
	EOS            bool     `json:"eos"`
	AllowedSpecial []string `json:"allowed_special,omitempty"`
}

// IDs are token ids.
type IDs struct {
	IDs []int32 `json:"ids"`
}

// DetokenizeParams decodes ids, together or (Each) every id alone.
type DetokenizeParams struct {
	Model string  `json:"model"`
	IDs   []int32 `json:"ids"`
	Each  bool    `json:"each,omitempty"`
}

// TextResult is decoded text; Pieces with Each.
type TextResult struct {
	Text   string   `json:"text"`
	Pieces []string `json:"pieces,omitempty"`
}

// ChatMessage is one message of a dialog.
type ChatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// ChatParams encodes a dialog as a prompt in the model's chat format, or in
// the one that Format names.
type ChatParams struct {
	Model  string        `json:"model"`
	Dialog []ChatMessage `json:"dialog"`
	Format string        `json:"format,omitempty"`
}

// ChatResult is the prompt's ids and its text, special tokens written out.
type ChatResult struct {
	IDs  []int32 `json:"ids"`
	Text string  `json:"text"`
}
