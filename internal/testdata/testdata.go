// Package testdata finds the material that tests check against: public golden
// numbers in a folder outside the repository, and the smollm2 model once it has
// been pulled. A test whose material is absent is skipped with the reason.
package testdata

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Root is the project's top folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Dir is the folder with golden numbers and vocabularies: LLAMA_GO_TESTDATA, or
// shared/testdata beside the project.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("LLAMA_GO_TESTDATA")
	if dir == "" {
		dir = filepath.Join(Root(), "..", "shared", "testdata")
	}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
		t.Skipf("no test material: %v (LLAMA_GO_TESTDATA names its folder)", err)
	}
	return dir
}

// SmolLM2 is the path of the smollm2 GGUF: LLAMA_GO_SMOLLM2, or where
// `llama-go pull smollm2` puts it.
func SmolLM2(t testing.TB) string {
	t.Helper()
	path := os.Getenv("LLAMA_GO_SMOLLM2")
	if path == "" {
		cache := os.Getenv("LLAMA_GO_CACHE")
		if cache == "" {
			base, err := os.UserCacheDir()
			if err != nil {
				t.Skipf("no cache folder: %v", err)
			}
			cache = filepath.Join(base, "llama-go")
		}
		path = filepath.Join(cache, "models", "smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("smollm2 is not here: %v (llama-go pull smollm2)", err)
	}
	return path
}
