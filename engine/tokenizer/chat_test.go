package tokenizer_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/testdata"
)

type dialog = []tokenizer.Message

func TestLlama3Dialog(t *testing.T) {
	tok := tiny(t)
	if f := tokenizer.DetectChatFormat("", tok); f != tokenizer.Llama3 {
		t.Fatalf("format %q", f)
	}
	d := dialog{{"system", " hello\n"}, {"user", "\x1c hell <|eot_id|>\u00a0"}, {"tool", ""}}
	ids, text, err := tok.EncodeDialog(tokenizer.Llama3, "", d)
	if err != nil {
		t.Fatal(err)
	}
	want := "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nhello<|eot_id|>" +
		"<|start_header_id|>user<|end_header_id|>\n\nhell <|eot_id|><|eot_id|>" +
		"<|start_header_id|>tool<|end_header_id|>\n\n<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
	if text != want {
		t.Errorf("text\n got %q\nwant %q", text, want)
	}
	if back := tok.Decode(ids); back != want {
		t.Errorf("decoded %q", back)
	}
	sp := tok.Specials()
	count := func(text string) (n int) {
		for _, id := range ids {
			if int(id) == sp[text] {
				n++
			}
		}
		return n
	}
	if count("<|eot_id|>") != 3 || count("<|begin_of_text|>") != 1 || count("<|start_header_id|>") != 4 {
		t.Errorf("special-token text of a message was parsed, or one is missing: %v", ids)
	}
	// Without special text in it, the prompt is the tokenized text.
	d[1].Content = "hell"
	ids, text, err = tok.EncodeDialog(tokenizer.Llama3, "", d)
	if whole := tok.Encode(text, tokenizer.AllSpecial); err != nil || !slices.Equal(ids, whole) {
		t.Errorf("by parts %v, as a whole %v (%v)", ids, whole, err)
	}
}

func TestLlama2Dialog(t *testing.T) {
	tok := ggufTokenizer(t, filepath.Join(testdata.Dir(t), "vocab", "ggml-vocab-llama-spm.gguf"))
	if f := tokenizer.DetectChatFormat("", tok); f != tokenizer.Llama2 {
		t.Fatalf("format %q", f)
	}
	encode := func(text string) []int32 { return tok.Encode(text, tokenizer.NoSpecial) }
	for _, c := range []struct {
		name string
		d    dialog
		want []int32
		err  string
		is   error
	}{
		{name: "one turn", d: dialog{{"user", " Hello\n"}}, want: []int32{1, 518, 25580, 29962, 15043, 518, 29914, 25580, 29962}},
		{name: "system", d: dialog{{"system", "Be brief."}, {"user", "Hi "}},
			want: append([]int32{1}, encode("[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]")...)},
		{name: "two turns", d: dialog{{"user", "a"}, {"assistant", " b "}, {"user", "c </s>"}},
			want: slices.Concat([]int32{1}, encode("[INST] a [/INST] b "), []int32{2, 1}, encode("[INST] c </s> [/INST]"))},
		{name: "role", d: dialog{{"tool", "a"}}, err: tokenizer.ErrRoles.Msg, is: tokenizer.ErrRoles},
		{name: "order", d: dialog{{"user", "a"}, {"user", "a"}}, err: tokenizer.ErrRoles.Msg, is: tokenizer.ErrRoles},
		{name: "only system", d: dialog{{"system", "a"}}, err: tokenizer.ErrRoles.Msg, is: tokenizer.ErrRoles},
		{name: "empty", err: tokenizer.ErrRoles.Msg, is: tokenizer.ErrRoles},
		{name: "last", d: dialog{{"user", "a"}, {"assistant", "b"}}, err: "Last message must be from user, got assistant", is: tokenizer.ErrLastMessage},
		{name: "tags", d: dialog{{"user", "a [/INST] b"}}, err: "Error: special tags are not allowed as part of the prompt.", is: tokenizer.ErrSpecialTags},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, _, err := tok.EncodeDialog(tokenizer.Llama2, "", c.d)
			if c.err != "" {
				if err == nil || err.Error() != c.err || !errors.Is(err, c.is) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				return
			}
			if err != nil || !slices.Equal(ids, c.want) {
				t.Errorf("got %v, %v, want %v", ids, err, c.want)
			}
		})
	}
}

func TestDefaultSystem(t *testing.T) {
	for _, c := range []struct{ name, template, want string }{
		{"none", "{% for m in messages %}{{ '<|im_start|>' + m['role'] }}{% endfor %}", ""},
		{"single quotes", `{% if x != 'system' %}{{ '<|im_start|>system\nIt\'s me.<|im_end|>\n' }}{% endif %}`, "It's me."},
		{"double quotes", `{{- "<|im_start|>system\nYou're \"here\".<|im_end|>\n" }}`, `You're "here".`},
		{"plain text", "{% if a %}<|im_start|>system\nPlain {braces}.<|im_end|>\n{% endif %}", "Plain {braces}."},
		{"concatenation first", `{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{{- '<|im_start|>system\nYou are Q.<|im_end|>\n' }}`, "You are Q."},
		{"comment", `{# '<|im_start|>system\nNo.<|im_end|>' #}{{ '<|im_start|>system\nYes.<|im_end|>' }}`, "Yes."},
		{"unclosed", `{{ '<|im_start|>system\nx`, ""},
		{"empty tag", "{", ""},
		{"cut tag", "{%", ""},
	} {
		if got, ok := tokenizer.DefaultSystem(c.template); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func TestChatML(t *testing.T) {
	tok := tiny(t)
	template := `{{ '<|im_start|>system\nYou are Q.<|im_end|>\n' }}`
	if f := tokenizer.DetectChatFormat(template, tok); f != tokenizer.ChatML {
		t.Fatalf("format %q", f)
	}
	for _, c := range []struct {
		name string
		d    dialog
		want string
	}{
		{"user", dialog{{"user", "hell"}}, "<|im_start|>system\nYou are Q.<|im_end|>\n<|im_start|>user\nhell<|im_end|>\n<|im_start|>assistant\n"},
		{"system", dialog{{"system", ""}, {"user", "x"}}, "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"},
		{"empty", nil, "<|im_start|>assistant\n"},
	} {
		ids, text, err := tok.EncodeDialog(tokenizer.ChatML, template, c.d)
		if whole := tok.Encode(c.want, tokenizer.AllSpecial); err != nil || text != c.want || !slices.Equal(ids, whole) {
			t.Errorf("%s: got %q %v, %v, want %q %v", c.name, text, ids, err, c.want, whole)
		}
	}
	if _, _, err := tok.EncodeDialog(tokenizer.NoChat, "", nil); err == nil {
		t.Error("a dialog without a format was encoded")
	}
}

func TestDetectChatFormat(t *testing.T) {
	llama := ggufTokenizer(t, filepath.Join(testdata.Dir(t), "vocab", "ggml-vocab-llama-spm.gguf"))
	for _, c := range []struct {
		template string
		tok      *tokenizer.Tokenizer
		want     tokenizer.ChatFormat
	}{
		{"", nil, tokenizer.NoChat},
		{"<|im_start|>", tiny(t), tokenizer.ChatML},
		{"<|im_start|>", llama, tokenizer.NoChat},
		{"<|start_header_id|>", tiny(t), tokenizer.Llama3},
		{"[INST] <<SYS>>", llama, tokenizer.Llama2},
		{"[INST] of another model", llama, tokenizer.NoChat},
	} {
		if got := tokenizer.DetectChatFormat(c.template, c.tok); got != c.want {
			t.Errorf("%q: got %q, want %q", c.template, got, c.want)
		}
	}
}
