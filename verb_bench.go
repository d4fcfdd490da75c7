package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/internal/suggest"
)

// benchParts are what may be measured, in the order in which it is; "all" is
// every one.
var benchParts = []string{"decode", "prefill", "depth", "batch", "busy", "load", "kernels"}

// What a bench starts of itself: they are no parts for people.
const (
	benchLoadOnce = "load-once" // loads, makes one token, tells its memory
	benchSpin     = "spin"      // keeps a processor busy until its input ends
	benchWorker   = "worker"    // measures what its input asks for, in turns with other engines
)

// benchFlags are the flags of `llama-go bench`.
type benchFlags struct {
	model, shape, types, threads, precision string
	rounds, prompt                          int
	sample                                  time.Duration
	json, markdown, quick                   bool
}

func benchVerb() cli.Verb {
	return cli.Verb{
		Name: "bench", Args: "[PART …]", About: "measure speed, and what share of this machine's limits it is", Max: -1,
		Long: `PARTs are decode, prefill (these two if none is named), depth, batch, busy, load, kernels or all:
  decode   tokens a second, one stream; share of the memory's read rate
  prefill  prompt tokens a second; share of the unit's arithmetic peak
  depth    decode with 0, 1024 and 4096 positions before it
  batch    1, 4 and 16 streams, tokens a second in total
  busy     decode beside a process that keeps one processor busy
  load     opening a file and the first token; peak memory
  kernels  products of one matrix with 1 to 512 rows, each weight type

The real engine runs. Peak and read rate are measured by loops in the same rounds, so a
share says how well the machine is used however fast it is at the moment. Without --model
or --shape smollm2 runs; --shape makes a model of random weights in memory, of each
--type. Close other programs first. Ctrl-C stops.`,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			var f benchFlags
			fs.StringVar(&f.model, "model", "", "`model`: a known name, a folder or a checkpoint file")
			fs.StringVar(&f.shape, "shape", "", "random weights of this `shape`: "+strings.Join(shapeNames(), ", "))
			fs.StringVar(&f.types, "type", "", "weight `types`, or all; int8 and int4 quantize at load (default: the file's, or bf16)")
			fs.StringVar(&f.threads, "threads", "", "numbers of `threads`, as 1,2 (default: all processors)")
			fs.StringVar(&f.precision, "precision", "fast", "numerics `modes`: fast, exact or fast,exact")
			fs.IntVar(&f.rounds, "rounds", 5, "`rounds`, whose median and spread are told")
			fs.IntVar(&f.prompt, "prompt", 512, "`tokens` of the prompt that prefill computes")
			fs.DurationVar(&f.sample, "sample", 400*time.Millisecond, "`time` of one decode measurement")
			fs.BoolVar(&f.quick, "quick", false, "three short rounds")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			fs.BoolVar(&f.markdown, "markdown", false, "print the table as Markdown")
			return func(ctx context.Context, env *cli.Env, args []string) error {
				b, err := newBench(env, f, args)
				if err != nil {
					return err
				}
				return b.run(ctx)
			}
		},
	}
}

// bench is one run of the verb.
type bench struct {
	env     *cli.Env
	flags   benchFlags
	parts   []string
	types   []benchType
	threads []int
	modes   []engine.Precision
	report  benchReport
}

// newBench checks the flags.
func newBench(env *cli.Env, f benchFlags, args []string) (*bench, error) {
	b := &bench{env: env, flags: f, parts: args}
	var err error
	if len(args) == 0 {
		b.parts = []string{"decode", "prefill"}
	}
	if slices.Contains(args, "all") {
		b.parts = benchParts
	}
	if len(args) != 1 || !slices.Contains([]string{benchLoadOnce, benchSpin, benchWorker}, args[0]) {
		for _, p := range b.parts {
			if err := oneOf("part", p, append(slices.Clone(benchParts), "all")); err != nil {
				return nil, err
			}
		}
	}
	if f.model != "" && f.shape != "" {
		return nil, &cli.UsageError{Msg: "--model and --shape exclude each other: a shape has random weights"}
	}
	if f.shape != "" {
		if err := oneOf("shape", f.shape, shapeNames()); err != nil {
			return nil, err
		}
	}
	if b.types, err = parseTypes(f.types); err != nil {
		return nil, err
	}
	for _, m := range strings.Split(f.precision, ",") {
		if err := oneOf("precision", m, []string{string(engine.Fast), string(engine.Exact)}); err != nil {
			return nil, err
		}
		b.modes = append(b.modes, engine.Precision(m))
	}
	if b.threads, err = parseThreads(f.threads); err != nil {
		return nil, err
	}
	if f.quick {
		b.flags.rounds, b.flags.sample = min(f.rounds, 3), min(f.sample, 150*time.Millisecond)
	}
	switch {
	case f.rounds < 1 || f.rounds > 1000:
		return nil, &cli.UsageError{Msg: fmt.Sprintf("--rounds is %d, expected 1 to 1000", f.rounds)}
	case f.prompt < 1 || f.prompt > 1<<20:
		return nil, &cli.UsageError{Msg: fmt.Sprintf("--prompt is %d, expected 1 to %d", f.prompt, 1<<20)}
	case f.sample <= 0 || f.sample > time.Minute:
		return nil, &cli.UsageError{Msg: fmt.Sprintf("--sample is %v, expected a duration up to 1m", f.sample)}
	case f.json && f.markdown:
		return nil, &cli.UsageError{Msg: "--json and --markdown exclude each other"}
	}
	return b, nil
}

// oneOf checks that a word is one of those known, and says which was meant.
func oneOf(what, word string, known []string) error {
	if slices.Contains(known, word) {
		return nil
	}
	if s := suggest.Closest(word, known); s != "" {
		return &cli.UsageError{Msg: fmt.Sprintf("unknown %s %q, did you mean %q?", what, word, s)}
	}
	return &cli.UsageError{Msg: fmt.Sprintf("unknown %s %q, expected one of: %s", what, word, strings.Join(known, " "))}
}

// parseThreads reads "1,2"; "" is LLAMA_GO_THREADS, else all processors.
func parseThreads(text string) ([]int, error) {
	if text == "" {
		n, err := threadCount()
		if n == 0 {
			n = runtime.GOMAXPROCS(0)
		}
		return []int{n}, err
	}
	var all []int
	for _, s := range strings.Split(text, ",") {
		n, err := strconv.Atoi(s)
		if most := 4 * runtime.GOMAXPROCS(0); err != nil || n < 1 || n > most {
			return nil, &cli.UsageError{Msg: fmt.Sprintf("--threads has %q, expected 1 to %d", s, most)}
		}
		all = append(all, n)
	}
	return all, nil
}

// has tells whether any of these parts is asked for.
func (b *bench) has(parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(b.parts, p) })
}

// run measures and prints.
func (b *bench) run(ctx context.Context) error {
	switch b.parts[0] {
	case benchSpin:
		return spin(ctx, b.env)
	case benchLoadOnce:
		return b.loadOnce(ctx)
	case benchWorker:
		return b.worker(ctx)
	}
	b.report.begin(b)
	if b.has("decode", "prefill", "depth", "batch", "busy") {
		if err := b.models(ctx); err != nil {
			return err
		}
	}
	if b.has("load") {
		if err := b.load(ctx); err != nil {
			return err
		}
	}
	if b.has("kernels") {
		if err := b.kernels(ctx); err != nil {
			return err
		}
	}
	b.say("")
	if b.flags.json {
		enc := json.NewEncoder(b.env.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(b.report)
	}
	return b.report.print(b.env.Stdout, b.flags.markdown)
}

// say shows what is measured now, on a terminal alone.
func (b *bench) say(format string, args ...any) {
	if cli.IsTerminal(b.env.Stderr) {
		fmt.Fprintf(b.env.Stderr, "\r"+format+"\x1b[K", args...)
	}
}
