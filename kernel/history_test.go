package kernel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/messaging"
)

func TestHistory(t *testing.T) {
	var h history
	for i, in := range []string{"%version", "Hello", "%version", "What?", "Hello", "a*b"} {
		h.add(i+1, in, map[bool]string{true: "hi"}[in == "Hello"])
	}
	for _, tc := range []struct {
		name string
		req  messaging.HistoryRequest
		want string
	}{
		{"tail", messaging.HistoryRequest{HistAccessType: "tail", N: 2}, "5:Hello 6:a*b"},
		{"tail of more", messaging.HistoryRequest{HistAccessType: "tail", N: 100}, "1:%version 2:Hello 3:%version 4:What? 5:Hello 6:a*b"},
		{"tail of none", messaging.HistoryRequest{HistAccessType: "tail"}, ""},
		{"tail of less than none", messaging.HistoryRequest{HistAccessType: "tail", N: -3}, ""},
		{"range", messaging.HistoryRequest{HistAccessType: "range", Start: 2, Stop: 4}, "2:Hello 3:%version"},
		{"range of this session by number", messaging.HistoryRequest{HistAccessType: "range", Session: 1, Start: 6, Stop: 7}, "6:a*b"},
		{"range without end", messaging.HistoryRequest{HistAccessType: "range", Start: 5}, "5:Hello 6:a*b"},
		{"range of an earlier session", messaging.HistoryRequest{HistAccessType: "range", Session: -1, Start: 1, Stop: 9}, ""},
		{"search", messaging.HistoryRequest{HistAccessType: "search", Pattern: "%v*"}, "1:%version 3:%version"},
		{"search unique", messaging.HistoryRequest{HistAccessType: "search", Pattern: "*", Unique: true}, "3:%version 4:What? 5:Hello 6:a*b"},
		{"search the last", messaging.HistoryRequest{HistAccessType: "search", Pattern: "*", N: 1}, "6:a*b"},
		{"search one character", messaging.HistoryRequest{HistAccessType: "search", Pattern: "Hell?"}, "2:Hello 5:Hello"},
		{"search is of the whole", messaging.HistoryRequest{HistAccessType: "search", Pattern: "Hell"}, ""},
		{"unknown kind", messaging.HistoryRequest{HistAccessType: "x"}, ""},
	} {
		got := []string{}
		found := h.find(tc.req)
		for _, e := range found {
			got = append(got, fmt.Sprintf("%d:%s", e.Line, e.Input))
		}
		if s := strings.Join(got, " "); s != tc.want || found == nil {
			t.Errorf("%s: got %q, want %q", tc.name, s, tc.want)
		}
	}
	if e := h.find(messaging.HistoryRequest{HistAccessType: "range", Start: 2, Stop: 3})[0]; e.Output == nil || *e.Output != "hi" {
		t.Errorf("output: got %v", e.Output)
	}
	if e := h.find(messaging.HistoryRequest{HistAccessType: "range", Start: 1, Stop: 2})[0]; e.Output != nil {
		t.Errorf("output of a cell without one: got %q", *e.Output)
	}
}

func TestHistoryForgetsTheOldest(t *testing.T) {
	var h history
	for i := range maxHistory + 3 {
		h.add(i, "x", "")
	}
	if got := h.find(messaging.HistoryRequest{HistAccessType: "tail", N: 2 * maxHistory}); len(got) != maxHistory || got[0].Line != 3 {
		t.Errorf("got %d entries from line %d", len(got), got[0].Line)
	}
}

func TestGlobMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "any\nthing", true},
		{"a*c", "abbc", true}, {"a*c", "abcd", false}, {"*b*", "abc", true}, {"??", "ab", true},
		{"??", "日本", true}, {"[a]", "a", false}, {"[a]", "[a]", true}, {"a**b", "ab", true},
		{"*a*a*a*b", strings.Repeat("a", 2000), false},
	} {
		if got := globMatch(tc.pattern, tc.s); got != tc.want {
			t.Errorf("%q on %q: got %v", tc.pattern, tc.s, got)
		}
	}
}
