package kernel

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/llama-go/llama-go/internal/units"
)

// Colours of a terminal; notebooks read the same codes in streams.
const (
	ansiRed  = "\x1b[31m"
	ansiGrey = "\x1b[90m"
	ansiOff  = "\x1b[0m"
	// ansiErase goes to the start of the line and erases it.
	ansiErase = "\r\x1b[K"
)

// How often a front end is told. Jupyter's server drops what exceeds 1000
// messages or 1 MB a second, and a notebook draws each update anew.
const (
	consoleEvery  = time.Second / 40
	notebookEvery = time.Second / 15
	barEvery      = time.Second / 5
	barAfter      = 300 * time.Millisecond // a load that is quicker shows no bar
	statusAfter   = time.Second            // so does a prompt that is read sooner
)

// output is what a running cell writes to; a *messaging.Output.
type output interface {
	Stream(name, text string)
	Display(data, metadata map[string]any, displayID string)
	UpdateDisplay(data, metadata map[string]any, displayID string)
	Result(data, metadata map[string]any)
	Clear(wait bool)
}

// transient shows a text that changes in one place: in a notebook a display
// that is updated, in a console a line that is written over.
type transient struct {
	out   output
	rich  bool
	id    string
	shown bool
}

func (t *transient) set(data map[string]any) {
	switch {
	case !t.rich:
		t.out.Stream("stdout", ansiErase+ansiGrey+data["text/plain"].(string)+ansiOff)
	case !t.shown:
		t.id = uuid.NewString()
		t.out.Display(data, nil, t.id)
	default:
		t.out.UpdateDisplay(data, nil, t.id)
	}
	t.shown = true
}

// bar shows how far something is, once it has taken a moment. Safe for
// concurrent use.
type bar struct {
	mu          sync.Mutex
	place       transient
	label       string
	start, last time.Time
	after       time.Duration
	total       int64
	closed      bool
}

// progress makes a bar for the cell.
func (x *execution) progress(label string) *bar {
	return &bar{place: transient{out: x.out, rich: x.rich()}, label: label, start: time.Now(), after: barAfter}
}

// now shows the bar from the start.
func (b *bar) now() {
	b.mu.Lock()
	b.after = 0
	b.mu.Unlock()
	b.update(0, 0)
}

// update shows done of total; total 0 is not known yet.
func (b *bar) update(done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total = max(b.total, total)
	if b.closed || time.Since(b.start) < b.after || time.Since(b.last) < barEvery && done < total {
		return
	}
	b.last = time.Now()
	if total <= 0 {
		b.place.set(map[string]any{
			"text/plain": b.label + " …",
			"text/html":  grey(b.label + " …"),
		})
		return
	}
	part := min(1, float64(done)/float64(total))
	const width = 24
	full := int(part * width)
	b.place.set(map[string]any{
		"text/plain": fmt.Sprintf("%s %s%s %3.0f %%  %s of %s", b.label, strings.Repeat("█", full), strings.Repeat("░", width-full), part*100, units.Bytes(done), units.Bytes(total)),
		"text/html": fmt.Sprintf(`<div style="color:#888;font-size:85%%">%s <progress value="%.3f" max="1"></progress> %s of %s</div>`,
			html.EscapeString(b.label), part, units.Bytes(done), units.Bytes(total)),
	})
}

// done takes the bar away; a notebook keeps one grey line.
func (b *bar) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	if !b.place.shown {
		return
	}
	if !b.place.rich {
		b.place.out.Stream("stdout", ansiErase)
		return
	}
	line := fmt.Sprintf("%s: %s", b.label, seconds(time.Since(b.start)))
	if b.total > 0 {
		line = fmt.Sprintf("%s: %s in %s", b.label, units.Bytes(b.total), seconds(time.Since(b.start)))
	}
	b.place.set(map[string]any{"text/plain": line, "text/html": grey(line)})
}

// grey is a line of HTML for what is said beside the answer.
func grey(line string) string {
	return `<div style="color:#888;font-size:85%">` + html.EscapeString(line) + `</div>`
}

// greyLine writes one grey line.
func (x *execution) greyLine(line string) {
	if x.rich() {
		x.out.Display(map[string]any{"text/plain": line, "text/html": grey(line)}, nil, "")
		return
	}
	x.out.Stream("stdout", ansiGrey+line+ansiOff+"\n")
}

// say writes a line of plain text.
func (x *execution) say(format string, args ...any) {
	x.out.Stream("stdout", fmt.Sprintf(format, args...)+"\n")
}

// warn writes a line that a person should see though nothing failed.
func (x *execution) warn(format string, args ...any) {
	x.out.Stream("stderr", fmt.Sprintf(format, args...)+"\n")
}

// table renders rows of name and value, as text and as HTML.
func table(title string, rows [][2]string) map[string]any {
	var plain, rich strings.Builder
	width := 0
	for _, r := range rows {
		width = max(width, len([]rune(r[0])))
	}
	plain.WriteString(title + "\n")
	fmt.Fprintf(&rich, `<table><caption style="text-align:left;font-weight:bold">%s</caption><tbody>`, html.EscapeString(title))
	for _, r := range rows {
		fmt.Fprintf(&plain, "  %-*s  %s\n", width, r[0], r[1])
		fmt.Fprintf(&rich, `<tr><th style="text-align:left">%s</th><td style="text-align:left">%s</td></tr>`, html.EscapeString(r[0]), html.EscapeString(r[1]))
	}
	rich.WriteString("</tbody></table>")
	return map[string]any{"text/plain": strings.TrimSuffix(plain.String(), "\n"), "text/html": rich.String()}
}

// seconds writes a duration with two or three digits.
func seconds(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 0.1:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	default:
		return fmt.Sprintf("%.0f s", s)
	}
}

// shortPath writes the user's home folder as ~.
func shortPath(path string) string {
	home, err := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && err == nil {
		return "~" + string(filepath.Separator) + rest
	}
	return path
}
