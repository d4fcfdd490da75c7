// Package cli is a program of verbs: a table of them, one flag set each, --help
// everywhere, exit code 2 for wrong usage with what was probably meant, and 1
// for an error with its hint.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/llama-go/llama-go/internal/suggest"
)

// Env is what a verb may touch of the world.
type Env struct {
	Stdin          *os.File
	Stdout, Stderr *os.File
}

// Verb is one thing that the program does.
type Verb struct {
	Name  string
	Args  string // as in the usage line: "NAME", "[PROMPT]"
	About string // one line, lower case, no stop
	Long  string // more, for the verb's own help; may be empty
	// Max and Min bound the number of arguments; Max < 0 is no bound.
	Min, Max int
	// Setup defines the verb's flags and returns what runs it.
	Setup func(fs *flag.FlagSet) func(ctx context.Context, env *Env, args []string) error
	// NoInterrupt leaves SIGINT alone: the verb handles it.
	NoInterrupt bool
}

// Program is a name, a line about it, and its verbs.
type Program struct {
	Name, About string
	Verbs       []Verb
}

// Exit codes.
const (
	exitError = 1
	exitUsage = 2
)

// Main runs the verb that args name and returns the exit code.
func (p *Program) Main(env *Env, args []string) int {
	if len(args) == 0 {
		p.usage(env.Stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) > 1 {
			if v := p.verb(args[1]); v != nil {
				p.verbUsage(env.Stdout, v)
				return 0
			}
			return p.wrong(env, nil, p.unknownVerb(args[1]))
		}
		p.usage(env.Stdout)
		return 0
	case "--version", "-version":
		args[0] = "version"
	}
	v := p.verb(args[0])
	if v == nil {
		return p.wrong(env, nil, p.unknownVerb(args[0]))
	}
	fs := newFlagSet(v)
	run := v.Setup(fs)
	rest, err := parse(fs, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		p.verbUsage(env.Stdout, v)
		return 0
	}
	if err != nil {
		return p.wrong(env, v, explain(fs, err))
	}
	if len(rest) < v.Min || (v.Max >= 0 && len(rest) > v.Max) {
		return p.wrong(env, v, fmt.Sprintf("got %d arguments, expected %s", len(rest), count(v)))
	}
	ctx := context.Background()
	if !v.NoInterrupt {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	if err := run(ctx, env, rest); err != nil {
		return p.fail(env, v, err)
	}
	return 0
}

// UsageError is wrong usage that only the verb itself can see; exit code 2.
type UsageError struct{ Msg string }

func (e *UsageError) Error() string { return e.Msg }

// ErrQuiet ends the program with code 1 and prints nothing: the verb has.
var ErrQuiet = errors.New("failed")

// Hint is what an error advises, or "".
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func (p *Program) fail(env *Env, v *Verb, err error) int {
	var usage *UsageError
	switch {
	case errors.As(err, &usage):
		return p.wrong(env, v, usage.Msg)
	case errors.Is(err, ErrQuiet):
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(env.Stderr, "%s: stopped\n", p.Name)
	default:
		fmt.Fprintf(env.Stderr, "%s: %v\n", p.Name, err)
		if h := Hint(err); h != "" {
			fmt.Fprintf(env.Stderr, "  hint: %s\n", h)
		}
	}
	return exitError
}

func (p *Program) wrong(env *Env, v *Verb, msg string) int {
	help := p.Name + " --help"
	if v != nil {
		msg = v.Name + ": " + msg
		help = fmt.Sprintf("%s %s --help", p.Name, v.Name)
	}
	fmt.Fprintf(env.Stderr, "%s: %s\n  see: %s\n", p.Name, msg, help)
	return exitUsage
}

func (p *Program) verb(name string) *Verb {
	for i := range p.Verbs {
		if p.Verbs[i].Name == name {
			return &p.Verbs[i]
		}
	}
	return nil
}

func (p *Program) unknownVerb(name string) string {
	names := make([]string, len(p.Verbs))
	for i, v := range p.Verbs {
		names[i] = v.Name
	}
	if s := suggest.Closest(name, names); s != "" {
		return fmt.Sprintf("unknown verb %q, did you mean %q?", name, s)
	}
	return fmt.Sprintf("unknown verb %q, expected one of: %s", name, strings.Join(names, " "))
}

func newFlagSet(v *Verb) *flag.FlagSet {
	fs := flag.NewFlagSet(v.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse takes flags wherever they stand; "--" ends them.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if done := len(args) - len(left); done > 0 && args[done-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// explain turns the flag package's words into what was found and expected.
func explain(fs *flag.FlagSet, err error) string {
	const unknown = "flag provided but not defined: -"
	msg := err.Error()
	name, ok := strings.CutPrefix(msg, unknown)
	if !ok {
		return msg
	}
	name = strings.TrimLeft(name, "-")
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if s := suggest.Closest(name, names); s != "" {
		return fmt.Sprintf("unknown flag --%s, did you mean --%s?", name, s)
	}
	if len(names) == 0 {
		return fmt.Sprintf("unknown flag --%s, and there are none", name)
	}
	return fmt.Sprintf("unknown flag --%s, expected one of: --%s", name, strings.Join(names, " --"))
}

func count(v *Verb) string {
	switch {
	case v.Max == 0:
		return "none"
	case v.Max < 0:
		return fmt.Sprintf("at least %d", v.Min)
	case v.Min == v.Max:
		return fmt.Sprint(v.Min)
	default:
		return fmt.Sprintf("%d to %d", v.Min, v.Max)
	}
}
