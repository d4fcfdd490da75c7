package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/kernel"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// defaultIdle ends a resident that nobody uses.
const defaultIdle = 30 * time.Minute

// idleLimit is LLAMA_GO_IDLE, a Go duration; 0 is never.
func idleLimit() (time.Duration, error) {
	text := os.Getenv("LLAMA_GO_IDLE")
	if text == "" {
		return defaultIdle, nil
	}
	d, err := time.ParseDuration(text)
	if text == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 {
		return 0, &cli.UsageError{Msg: fmt.Sprintf("LLAMA_GO_IDLE is %q, expected a duration such as 30m or 2h, or 0 for never", text)}
	}
	return d, nil
}

// threadCount is LLAMA_GO_THREADS; 0 is all cores.
func threadCount() (int, error) {
	text := os.Getenv("LLAMA_GO_THREADS")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1024 {
		return 0, &cli.UsageError{Msg: fmt.Sprintf("LLAMA_GO_THREADS is %q, expected 0 (all cores) to 1024", text)}
	}
	return n, nil
}

func serveVerb() cli.Verb {
	return cli.Verb{
		Name: "serve", About: "run the resident that holds the models", Max: 0, NoInterrupt: true,
		Long: `Python notebooks and the fronts that Jupyter starts find the resident or start it
themselves; this verb is for running it by hand. It ends after LLAMA_GO_IDLE (30m; 0 is
never) without a client, by "llama-go stop", or by SIGTERM.`,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			detach := fs.Bool("detach", false, "find the user's resident or start it in the background, and print its connection file")
			file := fs.String("connection-file", "", "`path` of the connection file (default: in the user's runtime folder)")
			return func(ctx context.Context, env *cli.Env, _ []string) error {
				idle, err := idleLimit()
				if err != nil {
					return err
				}
				threads, err := threadCount()
				if err != nil {
					return err
				}
				if *detach {
					if *file != "" {
						return &cli.UsageError{Msg: "--detach and --connection-file exclude each other: a detached resident has the user's file"}
					}
					path, _, err := kernel.FindOrStart(ctx, kernel.FindOptions{Version: buildVersion()})
					if err == nil {
						fmt.Fprintln(env.Stdout, path)
					}
					return err
				}
				return kernel.Serve(ctx, kernel.ServeOptions{
					Open: openBackend(), Estimate: cpu.Estimate, Version: buildVersion(), ConnectionFile: *file, Idle: idle, Threads: threads,
				})
			}
		},
	}
}

func psVerb() cli.Verb {
	return cli.Verb{
		Name: "ps", About: "show residents, their models and who is attached", Max: 0,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, env *cli.Env, _ []string) error {
				residents, err := kernel.Residents(ctx)
				if err != nil {
					return err
				}
				all := make([]residentState, len(residents))
				for i, r := range residents {
					all[i] = lookInto(ctx, r)
				}
				if *asJSON {
					enc := json.NewEncoder(env.Stdout)
					enc.SetIndent("", "  ")
					return enc.Encode(all)
				}
				if len(all) == 0 {
					fmt.Fprintln(env.Stdout, "no resident is running")
				}
				for _, s := range all {
					s.print(env.Stdout)
				}
				return nil
			}
		},
	}
}

// residentState is a resident and what it says of itself.
type residentState struct {
	kernel.ResidentInfo
	State *rpc.PSResult `json:"state,omitempty"`
	Error string        `json:"error,omitempty"`
}

func lookInto(ctx context.Context, r kernel.ResidentInfo) residentState {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host, err := kernel.ConnectHost(ctx, kernel.ConnectOptions{ConnectionFile: r.ConnectionFile, Version: buildVersion(), ClientName: "ps"})
	if err != nil {
		return residentState{ResidentInfo: r, Error: err.Error()}
	}
	defer host.Close()
	state, err := host.PS(ctx)
	if err != nil {
		return residentState{ResidentInfo: r, Error: err.Error()}
	}
	return residentState{ResidentInfo: r, State: &state}
}

func (s residentState) print(out io.Writer) {
	mark := ""
	if !s.Current {
		mark = ", of another binary"
	}
	fmt.Fprintf(out, "resident %s (llama-go %s, pid %d%s)\n", s.ID, s.Version, s.PID, mark)
	if s.State == nil {
		fmt.Fprintf(out, "  does not answer: %s\n", s.Error)
		return
	}
	up := time.Duration(s.State.UptimeSeconds * float64(time.Second)).Round(time.Second)
	limit := "never ends by itself"
	if s.State.IdleLimit > 0 {
		limit = fmt.Sprintf("ends after %v without clients", time.Duration(s.State.IdleLimit*float64(time.Second)))
	}
	fmt.Fprintf(out, "  up %v, %s, memory %s\n", up, limit, units.Bytes(s.State.RSSBytes))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(s.State.Models) > 0 {
		fmt.Fprintln(w, "  MODEL\tTYPE\tPRECISION\tWEIGHTS\tKV\tCLIENTS\tACTIVE\tPATH")
	}
	for _, m := range s.State.Models {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", m.Name, typeText(m), m.Precision, units.Bytes(m.Bytes), units.Bytes(m.KVBytes), m.Clients, m.Active, m.Path)
	}
	if len(s.State.Clients) > 0 {
		fmt.Fprintln(w, "  CLIENT\tPID\tHOST\tSTATE\tMODELS\tREQUESTS")
	}
	for _, c := range s.State.Clients {
		state := "connected"
		if !c.Connected {
			state = "gone, lease runs"
		}
		fmt.Fprintf(w, "  %s %s\t%d\t%s\t%s\t%s\t%d\n", c.Name, c.Version, c.PID, c.Host, state, strings.Join(c.Models, " "), c.Requests)
	}
	_ = w.Flush()
}

// typeText is the type of a model's weights: the file's, and what it was
// quantized to.
func typeText(m rpc.PSModel) string {
	if m.Quantize == "" {
		return m.DType
	}
	return m.DType + " as " + m.Quantize
}

func stopVerb() cli.Verb {
	return cli.Verb{
		Name: "stop", Args: "[ID]", About: "end a resident: this binary's, the one named, or all", Max: 1,
		Long: "A resident with clients attached stays, unless --force is given. \"llama-go ps\" shows the ids.",
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			all := fs.Bool("all", false, "every resident of this user")
			force := fs.Bool("force", false, "also when clients are attached")
			return func(ctx context.Context, env *cli.Env, args []string) error {
				if *all && len(args) > 0 {
					return &cli.UsageError{Msg: "give an id or --all"}
				}
				residents, err := kernel.Residents(ctx)
				if err != nil {
					return err
				}
				stopped := 0
				for _, r := range residents {
					wanted := *all || (len(args) == 0 && r.Current) || (len(args) == 1 && r.ID == args[0])
					if !wanted {
						continue
					}
					if err := kernel.StopResident(ctx, r.ID, *force); err != nil {
						return err
					}
					fmt.Fprintf(env.Stdout, "stopped %s (pid %d)\n", r.ID, r.PID)
					stopped++
				}
				if stopped == 0 && len(args) == 1 {
					return &cli.UsageError{Msg: fmt.Sprintf("no resident has the id %q; llama-go ps shows them", args[0])}
				}
				if stopped == 0 {
					fmt.Fprintln(env.Stdout, "no resident is running")
				}
				return nil
			}
		},
	}
}

func logsVerb() cli.Verb {
	return cli.Verb{
		Name: "logs", Args: "[ID]", About: "print a resident's log", Max: 1,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			follow := fs.Bool("f", false, "go on as the log grows")
			return func(ctx context.Context, env *cli.Env, args []string) error {
				id := ""
				if len(args) == 1 {
					id = args[0]
				}
				path, err := kernel.LogFile(id)
				if err != nil {
					return err
				}
				f, err := os.Open(path)
				if err != nil {
					return fmt.Errorf("no log yet: %w", err)
				}
				defer f.Close()
				for {
					if _, err := io.Copy(env.Stdout, f); err != nil || !*follow {
						return err
					}
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(200 * time.Millisecond):
					}
				}
			}
		},
	}
}
