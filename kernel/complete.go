package kernel

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/messaging"
)

// match is one completion.
type match struct {
	text, kind, signature string
}

// Complete implements messaging.Kernel: names of magics, then what they take.
// A prompt has no completions.
func (f *Front) Complete(_ context.Context, req messaging.CompleteRequest) messaging.CompleteReply {
	code := []rune(req.Code)
	cursor := min(max(req.CursorPos, 0), len(code))
	matches, start := f.completions(code, cursor)
	if len(matches) == 0 {
		start = cursor
	}
	reply := messaging.CompleteReply{Matches: []string{}, CursorStart: start, CursorEnd: cursor}
	types := []map[string]any{}
	for _, m := range matches {
		reply.Matches = append(reply.Matches, m.text)
		types = append(types, map[string]any{
			"text": m.text, "type": m.kind, "start": start, "end": cursor, "signature": m.signature,
		})
	}
	reply.Metadata = map[string]any{"_jupyter_types_experimental": types}
	return reply
}

// completions returns what may replace code[start:cursor].
func (f *Front) completions(code []rune, cursor int) (found []match, start int) {
	line, begin, ok := magicLineAt(code, cursor)
	if !ok {
		return nil, cursor
	}
	head := string(code[begin:cursor])
	name, typed, spaced := strings.Cut(head, " ")
	if !spaced {
		return completeMagic(name), begin
	}
	word := typed[strings.LastIndexAny(typed, " \t")+1:]
	start = cursor - len([]rune(word))
	switch strings.TrimLeft(name, "%") {
	case "set":
		return completeSetting(word, line), start
	case "model":
		word = strings.TrimLeft(typed, " \t") // a path may hold blanks
		return completeModel(word), cursor - len([]rune(word))
	case "help":
		for _, m := range magics {
			if strings.HasPrefix(m.name, word) {
				found = append(found, match{m.name, "magic", m.usage()})
			}
		}
		for _, p := range params {
			if word != "" && strings.HasPrefix(p.name, word) {
				found = append(found, match{p.name, "param", p.want})
			}
		}
		return found, start
	}
	return nil, cursor
}

// magicLineAt finds the line around the cursor and where it begins; false when
// it is no magic line, or the prompt has begun before it.
func magicLineAt(code []rune, cursor int) (line string, begin int, ok bool) {
	for begin = cursor; begin > 0 && code[begin-1] != '\n'; begin-- {
	}
	end := cursor
	for ; end < len(code) && code[end] != '\n'; end++ {
	}
	line = string(code[begin:end])
	if !strings.HasPrefix(line, "%") || begin == cursor {
		return "", 0, false
	}
	before := parseCell(string(code[:begin]))
	if before.prompt != "" || slices.ContainsFunc(before.magics, func(c call) bool { return c.body }) {
		return "", 0, false
	}
	return line, begin, true
}

// completeMagic completes %name and %%name.
func completeMagic(typed string) (found []match) {
	name := strings.TrimLeft(typed, "%")
	sign := typed[:len(typed)-len(name)]
	if len(sign) > 2 {
		return nil
	}
	for _, m := range magics {
		if strings.HasPrefix(m.name, name) && (len(sign) == 1 || m.body) {
			found = append(found, match{sign + m.name, "magic", sign[1:] + m.usage()})
		}
	}
	return found
}

// completeSetting completes NAME= (those that the line does not set yet) and,
// behind the equal sign, the values that have names.
func completeSetting(word, line string) (found []match) {
	name, value, valued := strings.Cut(word, "=")
	if valued {
		if p, ok := findParam(name); ok {
			for _, v := range append(slices.Clone(p.values), "default") {
				if strings.HasPrefix(v, value) {
					found = append(found, match{name + "=" + v, "value", p.want})
				}
			}
		}
		return found
	}
	for _, p := range params {
		if strings.HasPrefix(p.name, name) && !strings.Contains(line, " "+p.name+"=") {
			found = append(found, match{p.name + "=", "param", p.want})
		}
	}
	return found
}

// completeModel completes known names and, once a path has begun, paths.
func completeModel(word string) (found []match) {
	for _, n := range store.Names() {
		if strings.HasPrefix(n, word) {
			found = append(found, match{n, "model", "known model"})
		}
	}
	if word != "" {
		found = append(found, completePath(word)...)
	}
	return found
}

// maxPaths bounds what a large folder adds to a reply.
const maxPaths = 200

// completePath completes folders and files that may be a checkpoint.
func completePath(word string) (found []match) {
	dir, base := filepath.Split(word)
	look := dir
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		look = filepath.Join(home, rest)
	}
	if look == "" {
		look = "."
	}
	entries, err := os.ReadDir(look)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		kind := "path"
		if st, err := os.Stat(filepath.Join(look, name)); err == nil && st.IsDir() {
			name += string(filepath.Separator)
		} else if !slices.Contains([]string{".gguf", ".safetensors", ".json"}, filepath.Ext(name)) {
			continue
		}
		if found = append(found, match{dir + name, kind, ""}); len(found) == maxPaths {
			break
		}
	}
	return found
}
