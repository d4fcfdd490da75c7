package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

func (p *Program) usage(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n\nusage: %s VERB [flags] [arguments]\n\n", p.Name, p.About, p.Name)
	for _, v := range p.Verbs {
		fmt.Fprintf(w, "  %-10s %s\n", v.Name, v.About)
	}
	fmt.Fprintf(w, "\n%s VERB --help tells more of each.\n", p.Name)
}

func (p *Program) verbUsage(w io.Writer, v *Verb) {
	fs := newFlagSet(v)
	v.Setup(fs)
	line := p.Name + " " + v.Name
	n := 0
	fs.VisitAll(func(*flag.Flag) { n++ })
	if n > 0 {
		line += " [flags]"
	}
	if v.Args != "" {
		line += " " + v.Args
	}
	fmt.Fprintf(w, "%s %s: %s\n\nusage: %s\n", p.Name, v.Name, v.About, line)
	if v.Long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(v.Long))
	}
	if n == 0 {
		return
	}
	fmt.Fprintln(w)
	fs.VisitAll(func(f *flag.Flag) {
		kind, about := flag.UnquoteUsage(f)
		name := dashes(f.Name) + f.Name
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			def = fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(w, "  %-24s %s%s\n", name, about, def)
	})
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-"
	}
	return "--"
}
