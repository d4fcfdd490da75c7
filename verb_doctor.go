package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/cli"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/kernel"
	"github.com/llama-go/llama-go/kernelspec"
	"github.com/llama-go/llama-go/simd"
)

func doctorVerb() cli.Verb {
	return cli.Verb{
		Name: "doctor", About: "check this machine and say what is missing, in one block to paste", Max: 0,
		Setup: func(*flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			return func(ctx context.Context, env *cli.Env, _ []string) error {
				report := kernelspec.Doctor(ctx, kernelspec.DoctorOptions{
					Version: buildVersion(), Compute: compute(), AvailableMemory: engine.AvailableMemory, Residents: residentLines,
				})
				fmt.Fprint(env.Stdout, report)
				if report.Failed() {
					return cli.ErrQuiet
				}
				return nil
			}
		},
	}
}

// compute says what the engine would compute with in this environment.
func compute() []string {
	lines := []string{simd.Describe()}
	for _, mode := range []engine.Precision{engine.Fast, engine.Exact} {
		what := simd.NewPlan(mode == engine.Fast).Describe()
		lines = append(lines, string(mode)+": "+what)
	}
	return lines
}

// residentLines describes each resident in a line.
func residentLines(ctx context.Context) ([]string, error) {
	residents, err := kernel.Residents(ctx)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(residents))
	for i, r := range residents {
		lines[i] = fmt.Sprintf("%s, llama-go %s, pid %d", r.ID, r.Version, r.PID)
		if s := lookInto(ctx, r); s.State == nil {
			lines[i] += ", does not answer: " + s.Error
		} else {
			lines[i] += fmt.Sprintf(", %d models, %d clients, %s", len(s.State.Models), len(s.State.Clients), units.Bytes(s.State.RSSBytes))
		}
	}
	return lines, nil
}
