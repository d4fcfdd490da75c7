package main

import (
	"os"
	"path/filepath"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/internal/store"
)

// panelCacheEnv names the folder that quantized weights are kept in, "1" being the
// cache's own; without it none are.
const panelCacheEnv = "LLAMA_GO_PANEL_CACHE"

// openBackend is cpu.Open, or cpu.OpenCached where a cache is wanted and has a place.
func openBackend() engine.OpenBackend {
	dir := os.Getenv(panelCacheEnv)
	if dir == "1" {
		cache, err := store.CacheDir()
		if err != nil {
			return cpu.Open
		}
		dir = filepath.Join(cache, "panels")
	}
	if dir == "" || dir == "0" {
		return cpu.Open
	}
	return cpu.OpenCached(dir)
}
