package main

import (
	"log/slog"
	"os"

	"github.com/llama-go/llama-go/internal/cli"
)

// logger writes to stderr what LLAMA_GO_LOG lets through; an unknown level is
// info.
func logger(env *cli.Env) *slog.Logger {
	level := slog.LevelInfo
	if text := os.Getenv("LLAMA_GO_LOG"); text != "" {
		_ = level.UnmarshalText([]byte(text))
	}
	return slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: level}))
}
