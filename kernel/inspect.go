package kernel

import (
	"context"
	"fmt"
	"strings"

	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/messaging"
)

// Inspect implements messaging.Kernel: what is known of the magic, setting or
// model at the cursor. In a prompt there is nothing to inspect.
func (f *Front) Inspect(_ context.Context, req messaging.InspectRequest) messaging.InspectReply {
	code := []rune(req.Code)
	text := f.inspect(code, min(max(req.CursorPos, 0), len(code)))
	if text == "" {
		return messaging.InspectReply{Data: map[string]any{}, Metadata: map[string]any{}}
	}
	return messaging.InspectReply{
		Found:    true,
		Data:     map[string]any{"text/plain": text, "text/markdown": "```text\n" + text + "\n```"},
		Metadata: map[string]any{},
	}
}

// inspect describes the word around the cursor; "" when there is nothing to say.
func (f *Front) inspect(code []rune, cursor int) string {
	if cursor == 0 || code[cursor-1] == '\n' { // at a line's start: the word behind the cursor
		if cursor == len(code) {
			return ""
		}
		cursor++
	}
	line, begin, ok := magicLineAt(code, cursor)
	if !ok {
		return ""
	}
	runes, at := []rune(line), cursor-begin
	end := at
	for end < len(runes) && !isBlank(runes[end]) {
		end++
	}
	start := at
	for start > 0 && !isBlank(runes[start-1]) {
		start--
	}
	word := string(runes[start:end])
	name, _, _ := strings.Cut(strings.TrimLeft(line, "%"), " ")
	m, known := findMagic(strings.TrimRight(strings.TrimSpace(name), "?"))
	if !known {
		return ""
	}
	if start > 0 && word != "" {
		if text := f.inspectArgument(m.name, word); text != "" {
			return text
		}
	}
	return m.manual()
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// inspectArgument describes an argument of a magic.
func (f *Front) inspectArgument(magic, word string) string {
	switch magic {
	case "set":
		name, _, _ := strings.Cut(word, "=")
		if p, ok := findParam(name); ok {
			now := f.settingsNow()
			return p.manual() + "now: " + p.get(&now)
		}
	case "help":
		if m, ok := findMagic(strings.TrimLeft(word, "%")); ok {
			return m.manual()
		}
		if p, ok := findParam(word); ok {
			return p.manual()
		}
	case "model":
		return f.inspectModel(word)
	}
	return ""
}

// inspectModel describes a model by name: the open one, or a known one.
func (f *Front) inspectModel(name string) string {
	f.mu.Lock()
	m, current := f.model, f.modelName
	f.mu.Unlock()
	var b strings.Builder
	if k, ok := store.Lookup(name); ok {
		fmt.Fprintf(&b, "%s: %s, %s, %s\n", k.Name, k.Title, units.Bytes(k.Bytes), k.License)
		if path, err := store.Resolve(name); err == nil {
			b.WriteString(path + "\n")
		} else {
			b.WriteString("not here yet: %model " + name + " pulls it\n")
		}
	}
	if m != nil && name == current {
		info := m.Info().Info
		fmt.Fprintf(&b, "open: %s parameters, %s%s, %s mode by %s, context %d tokens\n",
			count(info.Parameters), info.DType, quantizedTo(info), info.Precision, info.Backend, info.MaxSeqLen)
	}
	if b.Len() == 0 {
		if path, err := store.Resolve(name); err == nil {
			return path
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
