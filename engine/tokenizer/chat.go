package tokenizer

// Message is one turn of a dialog.
type Message struct{ Role, Content string }

// ChatFormat names a way to render dialogs.
type ChatFormat string

const (
	NoChat ChatFormat = ""
	Llama2 ChatFormat = "llama2"
	Llama3 ChatFormat = "llama3"
	ChatML ChatFormat = "chatml"
)

func DetectChatFormat(template string, t *Tokenizer) ChatFormat { return NoChat }

func (t *Tokenizer) EncodeDialog(f ChatFormat, template string, dialog []Message) (ids []int32, text string, err error) {
	return nil, "", errorf("not yet")
}
