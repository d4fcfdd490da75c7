// Command llama-go is a Jupyter kernel that hosts a resident Llama engine.
// `llama-go --help` lists its verbs.
package main

import (
	"os"

	"github.com/llama-go/llama-go/internal/cli"
)

func main() {
	program := &cli.Program{
		Name:  "llama-go",
		About: "a Jupyter kernel with a resident Llama engine",
		Verbs: []cli.Verb{
			kernelVerb(), serveVerb(), generateVerb(), pullVerb(), modelsVerb(), psVerb(), stopVerb(), logsVerb(),
			installVerb(), uninstallVerb(), listVerb(), doctorVerb(), benchVerb(), versionVerb(),
		},
	}
	env := &cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(program.Main(env, os.Args[1:]))
}
