package kernel

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// liveText is a text that grows in the cell: plain stdout in a console, one
// Markdown display in a notebook. The first piece goes out at once, later ones
// together at a bounded rate. Safe for concurrent use.
type liveText struct {
	mu      sync.Mutex
	place   transient
	every   time.Duration
	text    strings.Builder
	flushed int // bytes of text that were written
	last    time.Time
	timer   *time.Timer
	closed  bool
	started time.Time
	patient *time.Timer // says that the prompt is being read
}

func newLiveText(out output, rich bool) *liveText {
	every := consoleEvery
	if rich {
		every = notebookEvery
	}
	return &liveText{place: transient{out: out, rich: rich}, every: every}
}

// wait says that the prompt is being read, should the text not begin soon.
func (t *liveText) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = time.Now()
	if t.patient == nil {
		t.patient = time.AfterFunc(statusAfter, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if !t.closed && t.text.Len() == 0 && !t.place.shown {
				t.status("reading the prompt …")
			}
		})
	}
}

// status shows a line until the text begins.
func (t *liveText) status(line string) {
	t.place.set(map[string]any{"text/plain": line, "text/markdown": "*" + line + "*"})
}

// add appends to the text.
func (t *liveText) add(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s == "" || t.closed {
		return
	}
	t.text.WriteString(s)
	wait := t.every - time.Since(t.last)
	if wait <= 0 {
		t.flush()
	} else if t.timer == nil {
		t.timer = time.AfterFunc(wait, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if !t.closed {
				t.flush()
			}
		})
	}
}

// reading says how much of a long prompt has been read, until the text begins.
func (t *liveText) reading(done, total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || done >= total || t.text.Len() > 0 || time.Since(t.started) < statusAfter || time.Since(t.last) < barEvery {
		return
	}
	t.last = time.Now()
	t.status(fmt.Sprintf("reading the prompt: %d of %d tokens", done, total))
}

// flush writes what has been added since the last one.
func (t *liveText) flush() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	all := t.text.String()
	if len(all) == t.flushed {
		return
	}
	if t.place.rich {
		t.place.set(map[string]any{"text/markdown": hardBreaks(all), "text/plain": all})
	} else {
		if t.place.shown {
			t.place.out.Stream("stdout", ansiErase)
			t.place.shown = false
		}
		t.place.out.Stream("stdout", all[t.flushed:])
	}
	t.flushed, t.last = len(all), time.Now()
}

// close writes what is left; in a console it ends the line.
func (t *liveText) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.flush()
	t.closed = true
	if t.patient != nil {
		t.patient.Stop()
	}
	switch all := t.text.String(); {
	case all == "" && t.place.shown && t.place.rich:
		t.place.set(map[string]any{"text/markdown": "", "text/plain": ""})
	case all == "" && t.place.shown:
		t.place.out.Stream("stdout", ansiErase)
	case all != "" && !t.place.rich && !strings.HasSuffix(all, "\n"):
		t.place.out.Stream("stdout", "\n")
	}
}

// hardBreaks keeps the line ends of a text in Markdown, which would join its
// lines: two blanks before a line end break the line (CommonMark 0.31 §6.7).
// Fenced code keeps its line ends by itself.
func hardBreaks(text string) string {
	lines := strings.Split(text, "\n")
	var fence fence
	for i, line := range lines[:len(lines)-1] {
		fence.next(line)
		if !fence.open() && strings.TrimSpace(line) != "" && strings.TrimSpace(lines[i+1]) != "" {
			lines[i] = line + "  "
		}
	}
	return strings.Join(lines, "\n")
}
