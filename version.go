package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/llama-go/llama-go/internal/cli"
)

// version is set at build time: -ldflags "-X main.version=v0.1.0".
var version = ""

// buildVersion is version, else what the Go toolchain stamped.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "v0.0.0-dev"
}

func versionVerb() cli.Verb {
	return cli.Verb{
		Name: "version", About: "print the version", Max: 0,
		Setup: func(*flag.FlagSet) func(context.Context, *cli.Env, []string) error {
			return func(_ context.Context, env *cli.Env, _ []string) error {
				_, err := fmt.Fprintf(env.Stdout, "llama-go %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
		},
	}
}
