package kernel

import (
	"slices"
	"sync"

	"github.com/llama-go/llama-go/messaging"
)

// maxHistory is how many cells are remembered; the oldest go first.
const maxHistory = 10_000

// history remembers the cells of this process. There is one session, number 1.
type history struct {
	mu      sync.Mutex
	entries []messaging.HistoryEntry
}

const historySession = 1

// add remembers a cell; output "" is none.
func (h *history) add(line int, input, output string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := messaging.HistoryEntry{Session: historySession, Line: line, Input: input}
	if output != "" {
		e.Output = &output
	}
	h.entries = append(h.entries, e)
	if over := len(h.entries) - maxHistory; over > 0 {
		h.entries = slices.Delete(h.entries, 0, over)
	}
}

// find answers a history_request, oldest first.
func (h *history) find(req messaging.HistoryRequest) []messaging.HistoryEntry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []messaging.HistoryEntry
	switch req.HistAccessType {
	case "tail":
		found = slices.Clone(last(h.entries, req.N))
	case "range":
		if req.Session != 0 && req.Session != historySession {
			break
		}
		for _, e := range h.entries {
			if e.Line >= req.Start && (req.Stop <= 0 || e.Line < req.Stop) {
				found = append(found, e)
			}
		}
	case "search":
		for _, e := range h.entries {
			if globMatch(req.Pattern, e.Input) {
				found = append(found, e)
			}
		}
		if req.Unique {
			found = uniqueLatest(found)
		}
		if req.N > 0 {
			found = last(found, req.N)
		}
	}
	if found == nil {
		found = []messaging.HistoryEntry{} // [] on the wire, never null
	}
	return found
}

// last is the last n elements; n < 0 is none.
func last[T any](s []T, n int) []T { return s[len(s)-min(len(s), max(n, 0)):] }

// uniqueLatest keeps the latest entry of each input, in order.
func uniqueLatest(entries []messaging.HistoryEntry) []messaging.HistoryEntry {
	seen := map[string]bool{}
	var kept []messaging.HistoryEntry
	for _, e := range slices.Backward(entries) {
		if !seen[e.Input] {
			seen[e.Input] = true
			kept = append(kept, e)
		}
	}
	slices.Reverse(kept)
	return kept
}

// globMatch matches the whole of s against a pattern in which * is any run of
// characters and ? any one; everything else stands for itself.
func globMatch(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	star, mark := -1, 0 // where to go on after a mismatch
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
