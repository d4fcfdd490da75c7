package kernel

import (
	"maps"
	"slices"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// Limits of text on the wire.
const (
	maxText     = 16 << 20 // bytes of text to encode, or of a whole dialog
	maxMessages = 10_000
	maxSpecials = 10_000
)

// textSide is what turns text into a model's ids; it outlives the engine that
// it came from. tok is nil when the model has no tokenizer.
type textSide struct {
	tok      *tokenizer.Tokenizer
	format   tokenizer.ChatFormat
	template string
	stopIDs  []int32
}

func textOf(e *engine.Engine) textSide {
	return textSide{e.Tokenizer(), e.ChatFormat(), e.ChatTemplate(), e.StopIDs()}
}

// info describes the tokenizer, or is nil.
func (t textSide) info() *rpc.TokInfo {
	if t.tok == nil {
		return nil
	}
	stops := make([]int, len(t.stopIDs))
	for i, id := range t.stopIDs {
		stops[i] = int(id)
	}
	specials := maps.Clone(t.tok.Specials())
	if specials == nil {
		specials = map[string]int{}
	}
	return &rpc.TokInfo{
		Kind: string(t.tok.Kind()), Words: t.tok.Size(), BOS: t.tok.BOS(), EOS: t.tok.EOS(), Pad: t.tok.Pad(),
		StopTokens: stops, SpecialTokens: specials, ChatFormat: string(t.format), AddBOS: t.tok.AddBOS(),
	}
}

// textModel finds a model that has a tokenizer.
func (c *client) textModel(id string) (*model, error) {
	m, err := c.model(id)
	if err != nil {
		return nil, err
	}
	if m.text.tok == nil {
		return nil, kindError(rpc.KindTokenizer, "open the model with tokenizer_path", "the model has no tokenizer")
	}
	return m, nil
}

// tokenize is tokenize.
func (c *client) tokenize(p rpc.TokenizeParams) (rpc.IDs, error) {
	m, err := c.textModel(p.Model)
	if err != nil {
		return rpc.IDs{}, err
	}
	if len(p.Text) > maxText {
		return rpc.IDs{}, requestError("encode it in pieces", "text has %d bytes, at most %d are allowed", len(p.Text), maxText)
	}
	if len(p.AllowedSpecial) > maxSpecials {
		return rpc.IDs{}, requestError("", "allowed_special has %d entries, at most %d are allowed", len(p.AllowedSpecial), maxSpecials)
	}
	special := tokenizer.NoSpecial
	if slices.Contains(p.AllowedSpecial, "all") {
		special = tokenizer.AllSpecial
	} else if len(p.AllowedSpecial) > 0 {
		special = tokenizer.SpecialSet(p.AllowedSpecial...)
	}
	tok := m.text.tok
	ids := tok.Encode(p.Text, special)
	if p.BOS {
		if tok.BOS() < 0 {
			return rpc.IDs{}, kindError(rpc.KindTokenizer, "encode without bos", "the tokenizer has no BOS token")
		}
		ids = slices.Insert(ids, 0, int32(tok.BOS()))
	}
	if p.EOS {
		if tok.EOS() < 0 {
			return rpc.IDs{}, kindError(rpc.KindTokenizer, "encode without eos", "the tokenizer has no EOS token")
		}
		ids = append(ids, int32(tok.EOS()))
	}
	return rpc.IDs{IDs: notNil(ids)}, nil
}

// notNil keeps an empty list from becoming null on the wire.
func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// detokenize is detokenize.
func (c *client) detokenize(p rpc.DetokenizeParams) (rpc.TextResult, error) {
	m, err := c.textModel(p.Model)
	if err != nil {
		return rpc.TextResult{}, err
	}
	tok := m.text.tok
	// A model's table may be padded beyond its tokenizer's ids: those show nothing.
	size := max(tok.Size(), m.cfg.VocabSize)
	for i, id := range p.IDs {
		if id < 0 || int(id) >= size {
			return rpc.TextResult{}, kindError(rpc.KindTokenIndex, "", "id %d at position %d is outside the vocabulary of %d", id, i, size)
		}
	}
	if !p.Each {
		return rpc.TextResult{Text: tok.Decode(p.IDs)}, nil
	}
	r := rpc.TextResult{Pieces: make([]string, len(p.IDs))}
	for i, id := range p.IDs {
		r.Pieces[i] = tok.Piece(id)
	}
	return r, nil
}

// encodeDialog is chat.encode.
func (c *client) encodeDialog(p rpc.ChatParams) (rpc.ChatResult, error) {
	m, err := c.textModel(p.Model)
	if err != nil {
		return rpc.ChatResult{}, err
	}
	format := m.text.format
	switch f := tokenizer.ChatFormat(p.Format); f {
	case tokenizer.NoChat:
		if format == tokenizer.NoChat {
			return rpc.ChatResult{}, kindError(rpc.KindTokenizer, `pass format="llama2", "llama3" or "chatml", or complete raw text`,
				"the model's chat format is none of those known here")
		}
	case tokenizer.Llama2, tokenizer.Llama3, tokenizer.ChatML:
		format = f
	default:
		return rpc.ChatResult{}, requestError("", `format is %.40q, expected "llama2", "llama3" or "chatml"`, p.Format)
	}
	if len(p.Dialog) == 0 || len(p.Dialog) > maxMessages {
		return rpc.ChatResult{}, requestError("", "dialog has %d messages, expected 1 to %d", len(p.Dialog), maxMessages)
	}
	size := 0
	dialog := make([]tokenizer.Message, len(p.Dialog))
	for i, msg := range p.Dialog {
		size += len(msg.Role) + len(msg.Content)
		dialog[i] = tokenizer.Message{Role: msg.Role, Content: msg.Content}
	}
	if size > maxText {
		return rpc.ChatResult{}, requestError("", "dialog has %d bytes, at most %d are allowed", size, maxText)
	}
	ids, text, err := m.text.tok.EncodeDialog(format, m.text.template, dialog)
	if err != nil {
		return rpc.ChatResult{}, err
	}
	return rpc.ChatResult{IDs: notNil(ids), Text: text}, nil
}
