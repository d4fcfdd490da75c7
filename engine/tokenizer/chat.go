package tokenizer

import (
	"strings"
	"unicode"
)

// Message is one turn of a dialog.
type Message struct{ Role, Content string }

// ChatFormat names a way to render dialogs.
type ChatFormat string

const (
	NoChat ChatFormat = ""
	Llama2 ChatFormat = "llama2" // meta-llama/llama
	Llama3 ChatFormat = "llama3" // meta-llama/llama3
	ChatML ChatFormat = "chatml" // SmolLM2, Qwen
)

// DetectChatFormat recognises the format from a checkpoint's template, which
// must use tokens that t has. Without a template the vocabulary decides: by its
// header tokens, and a SentencePiece vocabulary is Llama 2's, whose folders
// carry no template. Another template is NoChat.
func DetectChatFormat(template string, t *Tokenizer) ChatFormat {
	if t == nil {
		return NoChat
	}
	llama2 := t.kind == SentencePiece && t.bos >= 0 && t.eos >= 0
	for _, f := range []struct {
		format ChatFormat
		mark   string
		ok     bool
	}{
		{Llama3, "<|start_header_id|>", t.has(llama3Tokens...)},
		{ChatML, imStart, t.has(imStart, imEnd)},
		{Llama2, openSys, llama2},
	} {
		if f.ok && (template == "" || strings.Contains(template, f.mark)) {
			return f.format
		}
	}
	return NoChat
}

func (t *Tokenizer) has(texts ...string) bool {
	for _, text := range texts {
		if _, ok := t.specials[text]; !ok {
			return false
		}
	}
	return true
}

// EncodeDialog returns the prompt of a dialog, with the open header of the
// assistant's answer, and its text. What messages say is ordinary text: special
// tokens written in it are not parsed. BOS and EOS are part of the prompt where
// the format has them. template is the checkpoint's, from which ChatML takes
// its default system message.
func (t *Tokenizer) EncodeDialog(f ChatFormat, template string, dialog []Message) (ids []int32, text string, err error) {
	p := &prompt{t: t}
	switch f {
	case Llama2:
		err = p.llama2(dialog)
	case Llama3:
		err = p.llama3(dialog)
	case ChatML:
		err = p.chatML(template, dialog)
	default:
		err = errorf("the model has no chat format that is known here (%q)", string(f)).
			hint("complete raw text instead, or render the dialog in Python and encode it")
	}
	if err != nil {
		return nil, "", err
	}
	return p.ids, p.text.String(), nil
}

// prompt collects ids and text.
type prompt struct {
	t    *Tokenizer
	ids  []int32
	text strings.Builder
	s    scratch
}

// special appends a special token.
func (p *prompt) special(text string) error {
	id, ok := p.t.specials[text]
	if !ok {
		return errorf("the vocabulary has no special token %q, which the chat format needs", text)
	}
	p.id(id)
	return nil
}

// id appends a token by id.
func (p *prompt) id(id int) {
	p.ids = append(p.ids, int32(id))
	p.text.WriteString(p.t.tokens[id].text)
}

// ordinary appends text that is tokenized as one piece.
func (p *prompt) ordinary(text string) {
	p.ids = p.t.appendText(p.ids, text, NoSpecial, &p.s)
	p.text.WriteString(text)
}

const (
	imStart = "<|im_start|>"
	imEnd   = "<|im_end|>"
)

// chatML renders <|im_start|>role\ncontent<|im_end|>\n per message. The system
// message that the template names comes first when the dialog begins with
// another.
func (p *prompt) chatML(template string, dialog []Message) error {
	if len(dialog) > 0 && dialog[0].Role != "system" {
		if text, ok := defaultSystem(template); ok {
			dialog = append([]Message{{"system", text}}, dialog...)
		}
	}
	for _, m := range dialog {
		if err := p.special(imStart); err != nil {
			return err
		}
		p.ordinary(m.Role + "\n" + m.Content)
		if err := p.special(imEnd); err != nil {
			return err
		}
		p.ordinary("\n")
	}
	if err := p.special(imStart); err != nil {
		return err
	}
	p.ordinary("assistant\n")
	return nil
}

var llama3Tokens = []string{"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}

// llama3 is ChatFormat.encode_dialog_prompt of meta-llama/llama3
// llama/tokenizer.py. The blank line after a header and the content are
// tokenized apart, as there.
func (p *prompt) llama3(dialog []Message) error {
	for _, text := range llama3Tokens {
		if !p.t.has(text) {
			return p.special(text)
		}
	}
	header := func(role string) {
		p.id(p.t.specials["<|start_header_id|>"])
		p.ordinary(role)
		p.id(p.t.specials["<|end_header_id|>"])
		p.ordinary("\n\n")
	}
	p.id(p.t.specials["<|begin_of_text|>"])
	for _, m := range dialog {
		header(m.Role)
		p.ordinary(pythonStrip(m.Content))
		p.id(p.t.specials["<|eot_id|>"])
	}
	header("assistant")
	return nil
}

// pythonStrip is str.strip(): White_Space and the four separators U+001C to
// U+001F.
func pythonStrip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F })
}
