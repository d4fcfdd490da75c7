package tokenizer

import (
	"bytes"
	"encoding/base64"
	"strconv"
)

// Format is a kind of tokenizer file.
type Format string

const (
	FormatUnknown  Format = ""
	FormatJSON     Format = "tokenizer.json"
	FormatModel    Format = "SentencePiece model"
	FormatTiktoken Format = "tiktoken"
)

// Detect recognises a tokenizer file by its content; names lie: Llama 2 and
// Llama 3 both call theirs tokenizer.model.
func Detect(data []byte) Format {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(trimmed) > 0 && trimmed[0] == '{':
		return FormatJSON
	case isTiktoken(trimmed):
		return FormatTiktoken
	case len(data) > 1 && data[0] == 1<<3|2: // field 1 of ModelProto, a piece
		return FormatModel
	}
	return FormatUnknown
}

// isTiktoken reports whether the first line is base64, a space and a rank.
func isTiktoken(data []byte) bool {
	line, _, _ := bytes.Cut(data[:min(len(data), 2*maxToken)], []byte("\n"))
	text, rank, ok := bytes.Cut(bytes.TrimRight(line, "\r"), []byte(" "))
	if !ok || len(text) == 0 {
		return false
	}
	if _, err := base64.StdEncoding.DecodeString(string(text)); err != nil {
		return false
	}
	_, err := strconv.ParseUint(string(rank), 10, 32)
	return err == nil
}

func errTiktoken() *Error {
	return errorf("this is a tiktoken file (lines of base64 and rank), which is not supported yet").
		hint("put the model's tokenizer.json beside it and name that instead")
}

// FromBytes makes the tokenizer of a file of any supported kind.
func FromBytes(data []byte) (*Tokenizer, error) {
	switch Detect(data) {
	case FormatJSON:
		return FromJSON(data)
	case FormatModel:
		return FromModel(data)
	case FormatTiktoken:
		return nil, errTiktoken()
	}
	return nil, errorf("not a tokenizer file: neither JSON nor a SentencePiece model (%d bytes)", len(data))
}
