package cpu_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/simd"
)

// unitLogits asks a child process of TestUnitsAgree for the logits that its unit
// computes; where it is "neon", of shorter texts, and where it is "mull", in fast
// mode alone, whose tiles differ without dot products.
const unitLogits = "LLAMA_GO_TEST_UNIT_LOGITS"

// AVX2 and AVX-512 give the same logits, bit for bit: in exact mode, and in fast
// mode but for bfloat16 weights, which AVX-512 may multiply in pairs.
func TestUnitsAgree(t *testing.T) {
	if os.Getenv(unitLogits) != "" {
		printLogits(t)
		return
	}
	if !strings.Contains(simd.Describe(), "AVX-512 unit") {
		t.Skip("one unit")
	}
	run := func(disable string) []byte {
		cmd := exec.Command(os.Args[0], "-test.run=^TestUnitsAgree$", "-test.v")
		cmd.Env = append(os.Environ(), unitLogits+"=1", simd.DisableEnv+"="+disable)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("without %s: %v\n%s", disable, err, out)
		}
		return logitLines(out)
	}
	wide, narrow := run("bf16,amx"), run("avx512")
	if len(wide) == 0 || !bytes.Equal(wide, narrow) {
		t.Errorf("by AVX-512:\n%s\nby AVX2:\n%s", wide, narrow)
	}
}

// logitLines are the lines that printLogits wrote.
func logitLines(out []byte) []byte {
	var lines [][]byte
	for _, line := range bytes.Split(out, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("logits ")) {
			lines = append(lines, line)
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// printLogits prints a digest of the logits of each model in both modes.
func printLogits(t *testing.T) {
	t.Log(simd.Describe())
	report := func(name string, b engine.Backend, ids []int32) {
		h, n := sha256.New(), len(ids)/2
		add := func(logits []float32) {
			if err := binary.Write(h, binary.LittleEndian, logits); err != nil {
				t.Fatal(err)
			}
		}
		kv := blocks(0, len(ids)/engine.BlockSize+1)
		add(step(t, b, engine.Row{Tokens: ids[:n], Blocks: kv, LastN: n})[0])
		for i := n; i < len(ids); i++ {
			add(step(t, b, engine.Row{Tokens: ids[i:][:1], Start: i, Blocks: kv, LastN: 1})[0])
		}
		fmt.Printf("logits %s %x\n", name, h.Sum(nil)[:8])
	}
	for _, mode := range []engine.Precision{engine.Exact, engine.Fast} {
		which := os.Getenv(unitLogits)
		mull, neon := which == "mull", which == "mull" || which == "neon"
		if mull && mode == engine.Exact {
			continue
		}
		for _, c := range tinyCases(t) {
			ids := c.IDs
			if neon && c.Config.HiddenSize > 64 {
				ids = ids[:40] // an emulated processor is slow
			}
			report(fmt.Sprintf("%s %v", c.Name, mode), openIn(t, mode, c.Config.Config, c.source(), 2), ids)
		}
		for _, quantize := range []engine.Quantize{engine.Int8, engine.Int4} {
			c := tinyCases(t)[0]
			b, err := cpu.Open(context.Background(), c.Config.Config, c.source(),
				engine.BackendOptions{Precision: mode, Threads: 2, Quantize: quantize}, nil)
			if err != nil {
				t.Fatal(err)
			}
			report(fmt.Sprintf("%s %v %v", c.Name, quantize, mode), b, c.IDs)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if os.Getenv("LLAMA_GO_SMOLLM2") != "" && !testing.Short() {
			g, b, _ := smolLM2(t, mode)
			report(fmt.Sprintf("smollm2 %v", mode), b, slices.Concat(g.Prompts[0].IDs, g.Prompts[0].GreedyIDs[:8]))
		}
	}
}
