package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/cli"
)

// child is this program as a process of its own that runs a hidden part.
func child(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"bench"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// spin keeps a processor busy until stdin ends.
func spin(ctx context.Context, env *cli.Env) error {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, env.Stdin)
		close(ended)
	}()
	for n := 0; ; n++ {
		if n%1e6 != 0 {
			continue
		}
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
}

// busy decodes one stream beside a process that spins.
func (r *runner) busy() {
	before := len(r.cases)
	r.streams("busy", "decode beside a busy process", 1, 0)
	if len(r.cases) == before {
		return
	}
	c := r.cases[before]
	alone := c.measure
	c.bytes, c.ops = 0, 0 // shares of what: the limits are measured alone
	c.measure = func(ctx context.Context, round int) (float64, error) {
		cmd, err := child(ctx, benchSpin)
		if err != nil {
			return 0, err
		}
		stop, err := cmd.StdinPipe()
		if err != nil {
			return 0, err
		}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		defer func() { stop.Close(); _ = cmd.Wait() }()
		time.Sleep(100 * time.Millisecond) // until it spins and the team has noticed
		if _, err := alone(ctx, round); err != nil {
			return 0, err
		}
		return alone(ctx, round)
	}
}

// loaded is what a process that loaded a model tells.
type loaded struct {
	RSS int64 `json:"rss"` // peak, bytes; 0 where it is not known
}

// loadOnce opens the model, makes one token and tells its peak memory.
func (b *bench) loadOnce(ctx context.Context) error {
	all, err := b.benchModels(ctx)
	if err != nil {
		return err
	}
	m := all[0]
	e, err := m.open(ctx, engine.Options{Precision: b.modes[0], Threads: b.threads[0], MaxSeqLen: min(512, m.cfg.MaxPositionEmbeddings)})
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := e.NewSession(1, min(512, m.cfg.MaxPositionEmbeddings))
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Generate(ctx, engine.GenerateRequest{Rows: [][]int32{{1, 2, 3, 4}}, MaxGenLen: 1}, nil, nil); err != nil {
		return err
	}
	return json.NewEncoder(b.env.Stdout).Encode(loaded{RSS: peakMemory()})
}

// peakMemory is the largest resident size of this process so far.
func peakMemory() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// load measures opening a file, from the start of a process to its first token.
// The file's pages are in memory from the warming run on.
func (b *bench) load(ctx context.Context) error {
	if b.flags.shape != "" {
		b.report.note("left out: load is of a file, give --model")
		return nil
	}
	all, err := b.benchModels(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		file, err := fileBytes(m.path)
		if err != nil {
			return err
		}
		for _, mode := range b.modes {
			for _, threads := range b.threads {
				row := benchRow{Part: "load", What: "load + first token", Model: m.name, Type: m.typ.name, Mode: string(mode), Threads: threads, Unit: "s"}
				args := []string{benchLoadOnce, "--model", m.path, "--precision", string(mode), "--threads", fmt.Sprint(threads)}
				if m.typ.quantize != engine.NoQuantize {
					args = append(args, "--type", m.typ.name)
				}
				var seconds, rss, share []float64
				for round := -1; round < b.flags.rounds; round++ {
					b.say("%s %s: load, round %d of %d", m.name, mode, round+1, b.flags.rounds)
					took, l, err := loadInChild(ctx, args)
					if err != nil {
						return err
					}
					if round < 0 {
						continue
					}
					seconds = append(seconds, took.Seconds())
					if l.RSS > 0 {
						rss = append(rss, float64(l.RSS)/1e6)
						share = append(share, float64(l.RSS)/float64(file))
					}
				}
				row.Rate, row.Memory, row.MemoryShare = *newSpread(seconds), newSpread(rss), newSpread(share)
				b.report.Rows = append(b.report.Rows, row)
			}
		}
	}
	return nil
}

// loadInChild runs loadOnce in a process of its own, up to its first token.
func loadInChild(ctx context.Context, args []string) (took time.Duration, l loaded, err error) {
	cmd, err := child(ctx, args...)
	if err != nil {
		return 0, l, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, l, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, l, err
	}
	line, readErr := bufio.NewReader(out).ReadBytes('\n')
	took = time.Since(start)
	if err := cmd.Wait(); err != nil {
		return 0, l, fmt.Errorf("loading in a process of its own: %w", err)
	}
	if readErr != nil {
		return 0, l, readErr
	}
	return took, l, json.Unmarshal(line, &l)
}

// fileBytes is the size of a file, or of all in a folder.
func fileBytes(path string) (int64, error) {
	fi, err := os.Stat(path)
	if err != nil || !fi.IsDir() {
		return fi.Size(), err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
			n += fi.Size()
		}
	}
	return n, nil
}
