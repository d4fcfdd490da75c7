package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/llama-go/llama-go/internal/units"
)

// IsTerminal says whether f is a character device.
func IsTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// Bar shows bytes done of a total: a line that redraws itself on a terminal, a
// line every quarter elsewhere. Safe for concurrent use.
type Bar struct {
	mu      sync.Mutex
	w       *os.File
	what    string
	tty     bool
	last    time.Time
	quarter int64
	drawn   bool
}

// NewBar makes a bar on w.
func NewBar(w *os.File, what string) *Bar {
	return &Bar{w: w, what: what, tty: IsTerminal(w)}
}

// Set draws the state; 0 of 0 draws nothing.
func (b *Bar) Set(done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if total <= 0 {
		return
	}
	if !b.tty {
		if q := done * 4 / total; q > b.quarter {
			b.quarter = q
			fmt.Fprintf(b.w, "%s: %s of %s\n", b.what, units.Bytes(done), units.Bytes(total))
		}
		return
	}
	if now := time.Now(); done < total && now.Sub(b.last) < 50*time.Millisecond {
		return
	} else {
		b.last = now
	}
	const width = 30
	n := int(done * width / total)
	fmt.Fprintf(b.w, "\r%s [%s%s] %s of %s\x1b[K", b.what, strings.Repeat("#", n), strings.Repeat(".", width-n), units.Bytes(done), units.Bytes(total))
	b.drawn = true
}

// Done leaves the bar's line.
func (b *Bar) Done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprintln(b.w)
		b.drawn = false
	}
}
