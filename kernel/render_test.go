package kernel

import (
	"strings"
	"testing"
	"time"
)

func TestHardBreaks(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"one line", "one line"},
		{"a\nb\nc", "a  \nb  \nc"},
		{"a\n\nb", "a\n\nb"},
		{"a\n", "a\n"},
		{"a\n```\nx\ny\n```\nb\nc", "a  \n```\nx\ny\n```  \nb  \nc"},
		{"```\nopen\nstill", "```\nopen\nstill"},
	} {
		if got := hardBreaks(tc.text); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.text, got, tc.want)
		}
	}
}

// pieces records each write to stdout.
type pieces struct {
	memOutput
	writes []string
}

func (p *pieces) Stream(_, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes = append(p.writes, text)
}

func TestLiveTextCoalesces(t *testing.T) {
	out := &pieces{}
	live := newLiveText(out, false)
	start := time.Now()
	n := 0
	for time.Since(start) < 200*time.Millisecond {
		live.add("x")
		n++
		if n == 1 && len(out.writes) != 1 {
			t.Fatal("the first piece waits")
		}
	}
	live.close()
	took := time.Since(start)
	if got := strings.Join(out.writes, ""); got != strings.Repeat("x", n)+"\n" {
		t.Errorf("%d of %d characters came", len(got)-1, n)
	}
	if most := int(took/consoleEvery) + 4; len(out.writes) > most {
		t.Errorf("%d writes in %v, at most %d are right", len(out.writes), took, most)
	}
	live.add("late")
	live.close()
	if strings.Contains(strings.Join(out.writes, ""), "late") {
		t.Error("a closed text grows")
	}
}

// A piece that is held back goes out by itself when nothing follows.
func TestLiveTextDoesNotHoldBackForLong(t *testing.T) {
	out := &pieces{}
	live := newLiveText(out, false)
	live.add("a")
	live.add("b")
	deadline := time.Now().Add(5 * time.Second)
	for {
		out.mu.Lock()
		got := strings.Join(out.writes, "")
		out.mu.Unlock()
		if got == "ab" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %q", got)
		}
		time.Sleep(time.Millisecond)
	}
	live.close()
}

func TestLongPromptSaysThatItIsRead(t *testing.T) {
	for _, rich := range []bool{false, true} {
		out := &memOutput{}
		live := newLiveText(out, rich)
		live.wait()
		time.Sleep(statusAfter + 200*time.Millisecond)
		live.reading(256, 800)
		live.reading(800, 800)
		live.add("Answer")
		live.close()
		if rich {
			if len(out.displays) != 1 || out.displays[0]["text/markdown"] != "Answer" || out.updates != 2 {
				t.Errorf("displays %v after %d updates", out.displays, out.updates)
			}
		} else if want := ansiErase + ansiGrey + "reading the prompt …" + ansiOff + ansiErase + ansiGrey + "reading the prompt: 256 of 800 tokens" + ansiOff + ansiErase + "Answer\n"; out.stdout() != want {
			t.Errorf("got %q, want %q", out.stdout(), want)
		}
	}
}

func TestBarIsShownOnlyForWhatTakesAMoment(t *testing.T) {
	out := &memOutput{}
	x := &execution{out: out, req: newRequest("")}
	b := x.progress("loading")
	b.update(1, 2)
	b.done()
	if out.stdout() != "" {
		t.Errorf("a quick load shows %q", out.stdout())
	}
	b = x.progress("pulling")
	b.now()
	b.update(1<<20, 2<<20)
	b.update(2<<20, 2<<20)
	b.done()
	if got := out.stdout(); !strings.Contains(got, "100 %  2.1 MB of 2.1 MB") || !strings.HasSuffix(got, ansiErase) {
		t.Errorf("got %q", got)
	}
	rich := &memOutput{}
	x = &execution{out: rich, req: newRequest("cell")}
	b = x.progress("pulling <x>")
	b.now()
	b.update(2<<20, 2<<20)
	b.done()
	if len(rich.displays) != 1 || !strings.HasPrefix(rich.displays[0]["text/plain"].(string), "pulling <x>: 2.1 MB in ") || strings.Contains(rich.displays[0]["text/html"].(string), "<x>") {
		t.Errorf("got %v", rich.displays)
	}
}
