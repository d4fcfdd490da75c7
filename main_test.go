package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"llama-go": main})
}

// TestScript runs the command line as a person types it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("LLAMA_GO_CACHE", env.WorkDir+"/cache")
			env.Setenv("LLAMA_GO_RUNTIME", env.WorkDir+"/run")
			env.Setenv("HOME", env.WorkDir+"/home")
			return nil
		},
	})
}
