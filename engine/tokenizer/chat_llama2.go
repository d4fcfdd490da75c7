package tokenizer

import (
	"fmt"
	"strings"
)

const (
	openInst, closeInst = "[INST]", "[/INST]"
	openSys, closeSys   = "<<SYS>>", "<</SYS>>"
)

// The errors of Llama 2's chat format, word for word as Meta's code has them.
// ErrLastMessage's text goes on with the role that was found.
var (
	ErrRoles       = &Error{Msg: "model only supports 'system', 'user' and 'assistant' roles, starting with 'system', then 'user' and alternating (u/a/u/a/u...)", verbatim: true}
	ErrLastMessage = &Error{Msg: "Last message must be from user, got", verbatim: true}
	ErrSpecialTags = &Error{Msg: "Error: special tags are not allowed as part of the prompt.", verbatim: true}
)

// llama2 is chat_completion of meta-llama/llama llama/generation.py: the system
// message folds into the first user turn, each answered pair is a text of its
// own between BOS and EOS, and the last user turn follows after BOS.
func (p *prompt) llama2(dialog []Message) error {
	if p.t.bos < 0 || p.t.eos < 0 {
		return errorf("the llama2 chat format needs BOS and EOS, the vocabulary has %d and %d", p.t.bos, p.t.eos)
	}
	tagged := false
	for _, m := range dialog {
		for _, tag := range []string{openInst, closeInst, openSys, closeSys} {
			tagged = tagged || strings.Contains(m.Content, tag)
		}
	}
	if len(dialog) > 1 && dialog[0].Role == "system" {
		folded := Message{dialog[1].Role, openSys + "\n" + dialog[0].Content + "\n" + closeSys + "\n\n" + dialog[1].Content}
		dialog = append([]Message{folded}, dialog[2:]...)
	}
	if len(dialog) == 0 {
		return ErrRoles
	}
	for i, m := range dialog {
		if want := [2]string{"user", "assistant"}[i%2]; m.Role != want {
			return ErrRoles
		}
	}
	last := dialog[len(dialog)-1]
	if last.Role != "user" {
		return &Error{Msg: fmt.Sprintf("%s %s", ErrLastMessage.Msg, last.Role), Err: ErrLastMessage, verbatim: true}
	}
	if tagged {
		return ErrSpecialTags
	}
	for i := 0; i+1 < len(dialog); i += 2 {
		p.id(p.t.bos)
		p.ordinary(openInst + " " + pythonStrip(dialog[i].Content) + " " + closeInst + " " + pythonStrip(dialog[i+1].Content) + " ")
		p.id(p.t.eos)
	}
	p.id(p.t.bos)
	p.ordinary(openInst + " " + pythonStrip(last.Content) + " " + closeInst)
	return nil
}
