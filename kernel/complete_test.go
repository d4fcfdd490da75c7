package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/messaging"
)

func TestComplete(t *testing.T) {
	f := newMemFront(t, chatHost())
	dir := t.TempDir()
	for _, name := range []string{"tiny.gguf", "notes.txt", ".hidden.gguf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	const here = "‸" // the cursor
	for _, tc := range []struct {
		code  string
		want  []string
		start int
	}{
		{"%mo‸", []string{"%model"}, 0},
		{"%s‸", []string{"%set", "%system", "%stop"}, 0},
		{"%%s‸", []string{"%%system"}, 0},
		{"%%%s‸", nil, 4},
		{"%se‸t top_p=1", []string{"%set"}, 0},
		{"%reset\n%inf‸", []string{"%info"}, 7},
		{"日本\n%inf‸", nil, 7},
		{"Hello %mo‸", nil, 9},
		{"Hello\n%mo‸", nil, 9},
		{"%%complete x\n%mo‸", nil, 16},
		{"‸%mo", nil, 0},
		{"%system é %‸", nil, 11},
		{"%set te‸", []string{"temperature="}, 5},
		{"%set seed=1 m‸", []string{"max_gen_len=", "max_seq_len="}, 12},
		{"%set temperature=1 t‸", []string{"top_p="}, 19},
		{"%set precision=‸", []string{"precision=exact", "precision=fast", "precision=default"}, 5},
		{"%set precision=f‸", []string{"precision=fast"}, 5},
		{"%set q‸", []string{"quantize="}, 5},
		{"%set quantize=‸", []string{"quantize=none", "quantize=int8", "quantize=int4", "quantize=default"}, 5},
		{"%set nosuch=‸", nil, 12},
		{"%model smo‸", []string{"smollm2"}, 7},
		{"%model " + dir + "/‸", []string{dir + "/folder/", dir + "/tiny.gguf"}, 7},
		{"%model " + dir + "/.h‸", []string{dir + "/.hidden.gguf"}, 7},
		{"%help top‸", []string{"top_p"}, 6},
		{"%version ‸", nil, 9},
	} {
		code := strings.Replace(tc.code, here, "", 1)
		pos := len([]rune(tc.code[:strings.Index(tc.code, here)]))
		got := f.Complete(t.Context(), messaging.CompleteRequest{Code: code, CursorPos: pos})
		if !slices.Equal(got.Matches, tc.want) || got.CursorStart != tc.start || got.CursorEnd != pos {
			t.Errorf("%s: got %q in [%d, %d), want %q from %d", tc.code, got.Matches, got.CursorStart, got.CursorEnd, tc.want, tc.start)
		}
		if got.Matches == nil {
			t.Errorf("%s: null matches", tc.code)
		}
		types := got.Metadata["_jupyter_types_experimental"].([]map[string]any)
		if len(types) != len(got.Matches) || len(types) > 0 && (types[0]["text"] != got.Matches[0] || types[0]["start"] != tc.start) {
			t.Errorf("%s: types %v", tc.code, types)
		}
	}
	for _, pos := range []int{-1, 99} {
		if got := f.Complete(t.Context(), messaging.CompleteRequest{Code: "%mo", CursorPos: pos}); got.CursorEnd < 0 || got.CursorEnd > 3 {
			t.Errorf("cursor %d: %+v", pos, got)
		}
	}
}

func TestInspect(t *testing.T) {
	f := newMemFront(t, chatHost())
	f.run("%info", "") // opens the model
	for _, tc := range []struct{ code, want string }{
		{"%se‸t", "%set [NAME=VALUE …]"},
		{"‸%set", "%set [NAME=VALUE …]"},
		{"%set‸", "%set [NAME=VALUE …]"},
		{"%set ‸", "%set [NAME=VALUE …]"},
		{"%set temp‸erature=1", "temperature: a number from 0 to 10; default 0.6"},
		{"%set top_p=1‸", "now: 0.9"},
		{"%set quan‸tize=int8", "quantize: none, int8 or int4; default none"},
		{"%reset\n%model smol‸lm2", "SmolLM2-135M-Instruct"},
		{"%model " + f.modelName + "‸", "open: 1.2 M parameters"},
		{"%help to‸p_p", "top_p: a number"},
		{"%%system‸\nBe brief", "%system [TEXT]"},
		{"%model‸?", "%model [NAME|PATH]"},
		{"Hel‸lo", ""},
		{"Hello\n%set‸", ""},
		{"%nosuch‸", ""},
		{"‸", ""},
		{"%set\n‸", ""},
	} {
		code := strings.Replace(tc.code, "‸", "", 1)
		pos := len([]rune(tc.code[:strings.Index(tc.code, "‸")]))
		got := f.Inspect(t.Context(), messaging.InspectRequest{Code: code, CursorPos: pos})
		text, _ := got.Data["text/plain"].(string)
		if got.Found != (tc.want != "") || !strings.Contains(text, tc.want) || got.Data == nil || got.Metadata == nil {
			t.Errorf("%s: got %v %q, want %q", tc.code, got.Found, text, tc.want)
		}
	}
}
