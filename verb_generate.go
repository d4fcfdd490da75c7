package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/kernel"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// generateFlags are the flags of `llama-go generate`.
type generateFlags struct {
	model, system       string
	precision, quantize string
	raw, inProcess      bool
	quiet               bool
	maxTokens, seed     int
	temperature, topP   float64
	given               map[string]bool // by name
}

// follow takes the advice of a model's files for what was not given.
func (f *generateFlags) follow(s rpc.Sampling) {
	if s.Temperature != nil && !f.given["temperature"] {
		f.temperature = *s.Temperature
	}
	if s.TopP != nil && !f.given["top-p"] {
		f.topP = *s.TopP
	}
}

func generateVerb() cli.Verb {
	return cli.Verb{
		Name: "generate", Args: "[PROMPT]", About: "answer a prompt in the terminal, without Jupyter", Max: -1,
		Long: `Text streams to stdout and the figures go to stderr. Without PROMPT, or with "-",
the prompt is read from stdin. The model is the resident's, shared with every notebook;
--in-process loads it here instead. Ctrl-C stops the answer.`,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			var f generateFlags
			fs.StringVar(&f.model, "m", "smollm2", "`model`: a known name, a folder or a checkpoint file")
			fs.StringVar(&f.system, "system", "", "system `message`")
			fs.StringVar(&f.precision, "precision", "fast", "numerics `mode`: exact or fast")
			fs.StringVar(&f.quantize, "quantize", "", "`type` that 32- and 16-bit weights are converted to at load: int8 or int4")
			fs.BoolVar(&f.raw, "raw", false, "continue the text as it stands, without the model's chat format")
			fs.BoolVar(&f.inProcess, "in-process", false, "load the model in this process, without the resident")
			fs.BoolVar(&f.quiet, "quiet", false, "no figures on stderr")
			fs.IntVar(&f.maxTokens, "max-tokens", 512, "at most so many `tokens`; 0: to the end of the context")
			fs.IntVar(&f.seed, "seed", -1, "`number` that fixes the draws; -1: another each time")
			fs.Float64Var(&f.temperature, "temperature", 0.6, "`number`: 0 takes the likeliest token each time; advice in the model's files replaces the default")
			fs.Float64Var(&f.topP, "top-p", 0.9, "`mass` of the nucleus to draw from, 0 to 1; the same")
			return func(ctx context.Context, env *cli.Env, args []string) error {
				f.given = map[string]bool{}
				fs.Visit(func(given *flag.Flag) { f.given[given.Name] = true })
				prompt := strings.Join(args, " ")
				if prompt == "" || prompt == "-" {
					text, err := io.ReadAll(env.Stdin)
					if err != nil {
						return err
					}
					prompt = strings.TrimRight(string(text), "\r\n")
				}
				if prompt == "" {
					return &cli.UsageError{Msg: "the prompt is empty"}
				}
				if !utf8.ValidString(prompt) {
					return &cli.UsageError{Msg: "the prompt is not UTF-8"}
				}
				return generate(ctx, env, f, prompt)
			}
		},
	}
}

func generate(ctx context.Context, env *cli.Env, f generateFlags, prompt string) error {
	path, err := resolveOrPull(ctx, env, f.model)
	if err != nil {
		return err
	}
	host, err := openHost(ctx, f.inProcess)
	if err != nil {
		return err
	}
	defer host.Close()
	bar := cli.NewBar(env.Stderr, "loading "+f.model)
	model, err := host.Open(ctx, rpc.OpenParams{Path: path, DType: "auto", Quantize: f.quantize, Precision: f.precision, NeedTokenizer: true},
		func(p rpc.LoadProgress) {
			if cli.IsTerminal(env.Stderr) {
				bar.Set(p.Bytes, p.Total)
			}
		})
	bar.Done()
	if err != nil {
		return err
	}
	defer model.Close()
	f.follow(model.Info().Info.Sampling)
	ids, err := promptIDs(ctx, model, f, prompt)
	if err != nil {
		return err
	}
	session, err := model.Session(ctx, rpc.SessionParams{MaxBatchSize: 1})
	if err != nil {
		return err
	}
	defer session.Close()
	seed := uint64(f.seed)
	if f.seed < 0 {
		seed = rand.Uint64() >> 12 // JSON keeps 53 bits
	}
	result, err := session.Generate(ctx, rpc.GenerateParams{
		Rows: [][]int32{ids}, MaxGenLen: f.maxTokens, Temperature: f.temperature, TopP: f.topP,
		Seeds: []uint64{seed}, Text: true, Stream: true,
	}, func(p rpc.GenerateProgress) {
		for _, c := range p.Chunks {
			fmt.Fprint(env.Stdout, c.Text)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout)
	if !f.quiet {
		fmt.Fprintln(env.Stderr, figures(result, seed, f.temperature > 0))
	}
	return nil
}

// resolveOrPull finds a model by name, pulling a known one that is not here yet.
func resolveOrPull(ctx context.Context, env *cli.Env, name string) (string, error) {
	path, err := store.Resolve(name)
	if store.IsNotPulled(err) {
		return pull(ctx, env, name)
	}
	return path, err
}

func openHost(ctx context.Context, inProcess bool) (kernel.Host, error) {
	if !inProcess {
		return kernel.ConnectHost(ctx, kernel.ConnectOptions{
			ConnectionFile: os.Getenv("LLAMA_GO_CONNECTION"), Version: buildVersion(), ClientName: "generate",
		})
	}
	threads, err := threadCount()
	if err != nil {
		return nil, err
	}
	return kernel.NewLocalHost(kernel.LocalOptions{Open: openBackend(), Estimate: cpu.Estimate, Threads: threads}), nil
}

// promptIDs is the prompt in the model's chat format, or as it stands.
func promptIDs(ctx context.Context, model kernel.Model, f generateFlags, prompt string) ([]int32, error) {
	info := model.Info()
	if f.raw || info.Info.Tokenizer == nil || info.Info.Tokenizer.ChatFormat == "" {
		bos := info.Info.Tokenizer != nil && info.Info.Tokenizer.AddBOS
		return model.Tokenize(ctx, rpc.TokenizeParams{Text: prompt, BOS: bos})
	}
	var dialog []rpc.ChatMessage
	if f.system != "" {
		dialog = append(dialog, rpc.ChatMessage{Role: "system", Content: f.system})
	}
	dialog = append(dialog, rpc.ChatMessage{Role: "user", Content: prompt})
	chat, err := model.EncodeDialog(ctx, rpc.ChatParams{Dialog: dialog})
	return chat.IDs, err
}

// figures is the line of timings below an answer.
func figures(r rpc.GenerateResult, seed uint64, drawn bool) string {
	t := r.Timings
	line := fmt.Sprintf("prefill %d tokens, %s; decode %d tokens, %s; %s", t.PromptTokens, speed(t.PromptTokens, t.PrefillSeconds),
		t.GeneratedTokens, speed(t.DecodeSteps, t.DecodeSeconds), r.Rows[0].Finish)
	if drawn {
		line += fmt.Sprintf("; seed %d", seed)
	}
	if r.Rows[0].Finish == engine.FinishInterrupted {
		line += " (Ctrl-C)"
	}
	return line
}

// speed writes tokens a second.
func speed(tokens int, seconds float64) string {
	if r := units.Rate(tokens, seconds); r > 0 {
		return fmt.Sprintf("%.1f tok/s", r)
	}
	return "- tok/s"
}
