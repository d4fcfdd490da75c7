package kernel

import (
	"reflect"
	"testing"
)

func TestParseCell(t *testing.T) {
	for _, tc := range []struct {
		name, code string
		want       cell
	}{
		{"empty", " \n\n", cell{}},
		{"prompt", "Hello there", cell{prompt: "Hello there"}},
		{"prompt keeps its inner lines", "\n  a\n\n b \n\n", cell{prompt: "  a\n\n b"}},
		{"magic", "%model smollm2", cell{magics: []call{{name: "model", text: "smollm2"}}}},
		{"magics and a prompt", "%set seed=3\n\n%reset\n\nHi\n%set is a word here", cell{
			magics: []call{{name: "set", text: "seed=3"}, {name: "reset"}}, prompt: "Hi\n%set is a word here"}},
		{"percent without a letter", "% of what?", cell{prompt: "% of what?"}},
		{"percent and a digit", "%50 off", cell{prompt: "%50 off"}},
		{"lone percent", "%", cell{prompt: "%"}},
		{"protected percent", `\%set is what?`, cell{prompt: "%set is what?"}},
		{"indented percent is a prompt", "  %set a", cell{prompt: "  %set a"}},
		{"body", "%%complete Once\nupon\n\na time\n\n", cell{magics: []call{{name: "complete", text: "Once\nupon\n\na time", body: true}}}},
		{"body below", "%%system\n\nBe brief.\n%set x", cell{magics: []call{{name: "system", text: "Be brief.\n%set x", body: true}}}},
		{"help", "%set?", cell{magics: []call{{name: "set", help: true}}}},
		{"help twice", "%set??", cell{magics: []call{{name: "set", help: true}}}},
		{"question mark", " ? ", cell{magics: []call{{name: "help", help: true}}}},
		{"tab", "%set\tseed=1", cell{magics: []call{{name: "set", text: "seed=1"}}}},
		{"no-break space", "%set\u00a0seed=1", cell{magics: []call{{name: "set", text: "seed=1"}}}},
		{"unknown keeps its name", "%set=3", cell{magics: []call{{name: "set=3"}}}},
		{"continued", "one \\\ntwo", cell{prompt: "one \ntwo"}},
		{"continued magic", "%set seed=1 \\\ntop_p=1\nHi", cell{
			magics: []call{{name: "set", text: "seed=1 \ntop_p=1"}}, prompt: "Hi"}},
		{"two backslashes are text", `a \\` + "\nb", cell{prompt: `a \\` + "\nb"}},
		{"last backslash is text", `a \`, cell{prompt: `a \`}},
		{"fence is left alone", "```\na \\\n%b\n```", cell{prompt: "```\na \\\n%b\n```"}},
		{"windows line ends", "%reset\r\nHi\r\nyou", cell{magics: []call{{name: "reset"}}, prompt: "Hi\nyou"}},
	} {
		if got := parseCell(tc.code); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestIsComplete(t *testing.T) {
	for _, tc := range []struct{ code, want string }{
		{"", "complete"},
		{"Hello", "complete"},
		{"Hello\nthere", "complete"},
		{"%set seed=1", "complete"},
		{"%reset\nHi", "complete"},
		{"Hello \\", "incomplete"},
		{`a \\`, "complete"},
		{"%system Be \\", "incomplete"},
		{"```python", "incomplete"},
		{"What is this?\n```\nx = 1\n", "incomplete"},
		{"```\nx\n```", "complete"},
		{"```\nx\\", "incomplete"},
		{"~~~\n```\n~~~", "complete"},
		{"````\n```", "incomplete"},
		{"a ``` b", "complete"},
		{"```a`b```", "complete"},
		{"%nosuch", "invalid"},
		{"%reset\n%modle x", "invalid"},
		{"%%reset", "invalid"},
		{"%%complete", "incomplete"},
		{"%%complete Once", "incomplete"},
		{"%%complete\nOnce\n", "complete"},
		{"%stop", "complete"},
	} {
		if got := isComplete(tc.code); got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.code, got, tc.want)
		}
	}
}
