package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/llama-go/llama-go/simd"
)

// benchReport is what a run found.
type benchReport struct {
	Version   string     `json:"version"`
	Commit    string     `json:"commit,omitempty"`
	Processor string     `json:"processor"` // and its unit and features
	System    string     `json:"system"`
	Rounds    int        `json:"rounds"`
	Rows      []benchRow `json:"rows"`
	Notes     []string   `json:"notes,omitempty"` // what was left out, or is odd
}

// benchRow is one line of the table.
type benchRow struct {
	Part    string `json:"part"`
	What    string `json:"what"`
	Model   string `json:"model,omitempty"`
	Type    string `json:"type"`
	Mode    string `json:"mode"`
	Threads int    `json:"threads"`

	Unit string `json:"unit"` // of Rate: tok/s, s, Gop/s
	Rate spread `json:"rate"`

	// What the rate means for memory and arithmetic, and their shares of the
	// limits that were measured in the same rounds.
	BytesPerStep int64   `json:"bytes_per_step,omitempty"`
	Bytes        *spread `json:"gb_s,omitempty"`
	ReadShare    *spread `json:"read_share,omitempty"`
	Limit        string  `json:"limit,omitempty"` // FMA, VNNI, …
	Ops          *spread `json:"gop_s,omitempty"`
	LimitShare   *spread `json:"limit_share,omitempty"`
	Memory       *spread `json:"peak_rss_mb,omitempty"`
	MemoryShare  *spread `json:"peak_rss_of_file,omitempty"`
}

// spread is the median of samples, the least and the largest.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// newSpread sums samples up; nil if there are none.
func newSpread(samples []float64) *spread {
	if len(samples) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	return &spread{(s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1]}
}

func (r *benchReport) begin(b *bench) {
	r.Version, r.Rounds, r.Rows = buildVersion(), b.flags.rounds, []benchRow{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				r.Commit = s.Value[:min(12, len(s.Value))]
			}
		}
	}
	r.Processor = simd.Describe()
	r.look("/proc/loadavg", "/sys/kernel/mm/transparent_hugepage/enabled")
	r.System = fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
}

// look notes what of the system makes figures worse, where Linux tells it: other
// processes, and no big pages.
func (r *benchReport) look(loadFile, pagesFile string) {
	if text, err := os.ReadFile(loadFile); err == nil {
		var load float64
		if _, err := fmt.Sscan(string(text), &load); err == nil && load >= 0.5 {
			r.note("the load average was %.1f at the start: if other programs still run, figures are lower and spread", load)
		}
	}
	if text, err := os.ReadFile(pagesFile); err == nil && strings.Contains(string(text), "[never]") {
		r.note("big pages are off: weights are read more slowly (%s)", pagesFile)
	}
}

// note says what was left out, or is odd.
func (r *benchReport) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, n) {
		r.Notes = append(r.Notes, n)
	}
}

var benchColumns = []string{"model", "type", "mode", "threads", "what", "rate", "unit", "GB/s", "of read", "Gop/s", "of peak", "peak RSS"}

// print writes the table for people, or as Markdown.
func (r *benchReport) print(w io.Writer, markdown bool) error {
	commit := ""
	if r.Commit != "" {
		commit = " (" + r.Commit + ")"
	}
	fmt.Fprintf(w, "llama-go %s%s, %s\n", r.Version, commit, r.System)
	fmt.Fprintf(w, "%s\n", r.Processor)
	fmt.Fprintf(w, "medians (min–max) of %s; limits measured in the same rounds\n\n", plural(r.Rounds, "round"))
	lines := [][]string{benchColumns}
	for i := range r.Rows {
		lines = append(lines, r.Rows[i].cells())
	}
	lines = dropEmpty(lines)
	if markdown {
		for i, l := range lines {
			fmt.Fprintf(w, "| %s |\n", strings.Join(l, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(l)))
			}
		}
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, l := range lines {
			fmt.Fprintln(t, strings.TrimRight(strings.Join(l, "\t"), "\t "))
		}
		t.Flush()
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\n%s", n)
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(w)
	}
	return nil
}

// dropEmpty leaves out the columns that no line fills.
func dropEmpty(lines [][]string) [][]string {
	for c := len(lines[0]) - 1; c >= 0; c-- {
		if !slices.ContainsFunc(lines[1:], func(l []string) bool { return l[c] != "" }) {
			for i := range lines {
				lines[i] = slices.Delete(lines[i], c, c+1)
			}
		}
	}
	return lines
}

func (r *benchRow) cells() []string {
	limit := r.LimitShare.share()
	if limit != "" {
		limit += " " + r.Limit
	}
	memory := ""
	if r.Memory != nil {
		memory = r.Memory.text()
		if r.MemoryShare != nil {
			memory += fmt.Sprintf(" MB, %.2f × file", r.MemoryShare.Median)
		}
	}
	return []string{r.Model, r.Type, r.Mode, fmt.Sprint(r.Threads), r.What, r.Rate.text(), r.Unit,
		r.Bytes.median(), r.ReadShare.share(), r.Ops.median(), limit, memory}
}

// text is the median and the range.
func (s *spread) text() string {
	if s == nil {
		return ""
	}
	if s.Min == s.Max {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

func (s *spread) median() string {
	if s == nil {
		return ""
	}
	return number(s.Median)
}

// share is the median and the range with two decimals.
func (s *spread) share() string {
	if s == nil {
		return ""
	}
	if s.Min == s.Max {
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max)
}

// number writes a positive number with three digits or all before the point.
func number(v float64) string {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(v)))), v)
}

// plural is "1 row" or "2 rows".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
