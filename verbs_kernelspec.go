package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"text/tabwriter"

	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/kernelspec"
)

// whereFlags are the places of Jupyter's folders, as jupyter's own tools name
// them.
func whereFlags(fs *flag.FlagSet) *kernelspec.Where {
	w := &kernelspec.Where{}
	fs.BoolVar(&w.User, "user", false, "the user's Jupyter folder (the default)")
	fs.BoolVar(&w.SysPrefix, "sys-prefix", false, "the active Python environment")
	fs.StringVar(&w.Prefix, "prefix", "", "`path`/share/jupyter/kernels")
	fs.StringVar(&w.Name, "name", kernelspec.DefaultName, "`name` of the kernel for jupyter --kernel")
	return w
}

func installVerb() cli.Verb {
	return cli.Verb{
		Name: "install", About: "tell Jupyter of this kernel", Max: 0,
		Long: "pip install brings the kernelspec along; this is for a binary that came another way.",
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			where := whereFlags(fs)
			display := fs.String("display-name", "", "`name` that people see")
			replace := fs.Bool("replace", false, "replace another program's kernel of that name")
			printSpec := fs.Bool("print-spec", false, "print the kernel.json that a wheel carries, and install nothing")
			goos := fs.String("goos", runtime.GOOS, "with --print-spec: the `system` that the wheel is for")
			return func(_ context.Context, env *cli.Env, _ []string) error {
				if *printSpec {
					enc := json.NewEncoder(env.Stdout)
					enc.SetIndent("", "  ")
					return enc.Encode(kernelspec.New(kernelspec.WheelArgv0(*goos), *display))
				}
				dir, err := kernelspec.Install(kernelspec.InstallOptions{Where: *where, DisplayName: *display, Replace: *replace})
				if err != nil {
					return err
				}
				fmt.Fprintf(env.Stdout, "installed in %s\n  try: jupyter console --kernel %s\n", dir, where.Name)
				return nil
			}
		},
	}
}

func uninstallVerb() cli.Verb {
	return cli.Verb{
		Name: "uninstall", About: "take the kernel back out of Jupyter's folders", Max: 0,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			where := whereFlags(fs)
			return func(_ context.Context, env *cli.Env, _ []string) error {
				dir, err := kernelspec.Uninstall(*where)
				if err == nil {
					fmt.Fprintf(env.Stdout, "removed %s\n", dir)
				}
				return err
			}
		},
	}
}

func listVerb() cli.Verb {
	return cli.Verb{
		Name: "list", About: "list where Jupyter finds this kernel", Max: 0,
		Setup: func(*flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			return func(_ context.Context, env *cli.Env, _ []string) error {
				found := kernelspec.List()
				if len(found) == 0 {
					fmt.Fprintln(env.Stdout, "no llama-go kernelspec: llama-go install --user")
					return nil
				}
				w := tabwriter.NewWriter(env.Stdout, 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "NAME\tDISPLAY NAME\tBINARY\tFOLDER")
				for _, k := range found {
					binary := k.Binary
					if !k.Usable {
						binary += " (missing)"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, k.Spec.DisplayName, binary, k.Dir)
				}
				return w.Flush()
			}
		},
	}
}
