package weights

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// advised writes nil as -1.
func advised(s Sampling) [2]float64 {
	out := [2]float64{-1, -1}
	for i, p := range []*float64{s.Temperature, s.TopP} {
		if p != nil {
			out[i] = *p
		}
	}
	return out
}

func TestSampling(t *testing.T) {
	weights := safetensorsFile(hfTensors(tinyConfig, "F32"))
	for _, tt := range []struct {
		name, generation string
		want             [2]float64 // -1: no advice
		warning          string
	}{
		{"none", `{}`, [2]float64{-1, -1}, ""},
		{"both", `{"do_sample": true, "temperature": 0.6, "top_p": 0.9}`, [2]float64{0.6, 0.9}, ""},
		{"one", `{"temperature": 1}`, [2]float64{1, -1}, ""},
		{"greedy", `{"temperature": 0, "top_p": 1.0}`, [2]float64{0, 1}, ""},
		{"null", `{"temperature": null}`, [2]float64{-1, -1}, ""},
		{"not to sample", `{"do_sample": false, "temperature": 0.7}`, [2]float64{-1, -1}, ""},
		{"negative", `{"temperature": -1, "top_p": 0.9}`, [2]float64{-1, 0.9}, "temperature is -1, which is out of range"},
		{"infinite", `{"temperature": 1e999}`, [2]float64{-1, -1}, "expected a number"},
		{"nothing left", `{"top_p": 0}`, [2]float64{-1, -1}, "top_p is 0, which is out of range"},
		{"text", `{"top_p": "much"}`, [2]float64{-1, -1}, `top_p is "much", expected a number`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustOpen(t, folderOf(t, map[string][]byte{
				"config.json": configJSON(tinyConfig, ""), "model.safetensors": weights, "generation_config.json": []byte(tt.generation),
			}), Options{})
			checkSampling(t, c, tt.want, tt.warning)
		})
	}
	for _, tt := range []struct {
		name        string
		temp, top_p []byte
		want        [2]float64
		warning     string
	}{
		{"gguf without", nil, nil, [2]float64{-1, -1}, ""},
		{"gguf", f32Value(0.6), f32Value(0.95), [2]float64{0.6, 0.95}, ""},
		{"gguf NaN", f32Value(float32(math.NaN())), f32Value(0.5), [2]float64{-1, 0.5}, "temperature is NaN"},
		{"gguf type", u32Value(1), nil, [2]float64{-1, -1}, "general.sampling.temp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.gguf")
			write(t, path, tinyGGUF(0).set(ggufKV{"general.sampling.temp", tt.temp}, ggufKV{"general.sampling.top_p", tt.top_p}).bytes())
			c, err := Open(context.Background(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			checkSampling(t, c, tt.want, tt.warning)
		})
	}
}

func checkSampling(t *testing.T, c *Checkpoint, want [2]float64, warning string) {
	t.Helper()
	if got := advised(c.Sampling); got != want {
		t.Errorf("advice %v, expected %v", got, want)
	}
	found := slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, warning) })
	if warning == "" && len(c.Warnings) > 0 || warning != "" && !found {
		t.Errorf("warnings %q, expected %q", c.Warnings, warning)
	}
}
