package main

import (
	"context"
	"flag"
	"os"

	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/kernel"
)

func kernelVerb() cli.Verb {
	return cli.Verb{
		Name: "kernel", About: "what Jupyter starts: a front to the resident", Max: 0, NoInterrupt: true,
		Long: `Jupyter runs this by the kernelspec and gives it a connection file. The models live in
the resident, which is found or started; --in-process makes one process of both, for
containers and tests.`,
		Setup: func(fs *flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			file := fs.String("f", "", "`path` of the connection file that Jupyter wrote")
			inProcess := fs.Bool("in-process", false, "load models in this process, without the resident")
			model := fs.String("model", "", "the first `model` (default smollm2)")
			return func(ctx context.Context, env *cli.Env, _ []string) error {
				if *file == "" {
					return &cli.UsageError{Msg: "-f is missing: Jupyter starts this verb; try jupyter console --kernel llama-go"}
				}
				threads, err := threadCount()
				if err != nil {
					return err
				}
				return kernel.Run(ctx, kernel.RunOptions{
					ConnectionFile: *file, InProcess: *inProcess, Resident: os.Getenv("LLAMA_GO_CONNECTION"),
					Open: openBackend(), Estimate: cpu.Estimate, Threads: threads, Version: buildVersion(), Model: *model,
				})
			}
		},
	}
}
