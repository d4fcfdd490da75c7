package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/llama-go/llama-go/engine"
)

// workerAsk is a line of a worker's input. The peers' workers in .ci take the
// same ones.
type workerAsk struct {
	Do      string  `json:"do"`      // "prefill", "decode", "rss"
	N       int     `json:"n"`       // of prefill: tokens
	Seconds float64 `json:"seconds"` // of decode: about how long
	Streams int     `json:"streams"` // of decode: rows; 0 is 1
	Depth   int     `json:"depth"`   // of decode: positions before it
}

// workerTold is a line of a worker's output: the first one when a model is loaded
// and has made a token, then one for each that was asked.
type workerTold struct {
	Tokens  int     `json:"tokens"`
	Seconds float64 `json:"seconds"`
	RSS     int64   `json:"rss,omitempty"`
	About   string  `json:"about,omitempty"`
}

// worker loads a model and measures what its input asks for.
func (b *bench) worker(ctx context.Context) error {
	all, err := b.benchModels(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	m := all[0]
	e, err := m.open(ctx, engine.Options{Precision: b.modes[0], Threads: b.threads[0]})
	if err != nil {
		return err
	}
	defer e.Close()
	r := &runner{b: b, m: m, e: e, mode: b.modes[0]}
	defer r.close()
	s, _ := r.session(1, shortPrompt)
	if _, err := generate1(ctx, s, [][]int32{r.ids(shortPrompt, 1)}, 0); err != nil {
		return err
	}
	out := json.NewEncoder(b.env.Stdout)
	if err := out.Encode(workerTold{Seconds: time.Since(start).Seconds(), RSS: peakMemory(), About: e.Describe()}); err != nil {
		return err
	}
	type key struct{ streams, depth int }
	decoders := map[key]func(context.Context, time.Duration) (engine.Timings, error){}
	in := json.NewDecoder(b.env.Stdin)
	for seed := uint64(1); ; seed++ {
		var ask workerAsk
		if err := in.Decode(&ask); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var told workerTold
		switch ask.Do {
		case "rss":
			told.RSS = peakMemory()
		case "prefill":
			s, ok := r.session(1, ask.N)
			if !ok {
				return fmt.Errorf("a prompt of %d tokens is too long", ask.N)
			}
			t, err := generate1(ctx, s, [][]int32{r.ids(ask.N, seed)}, 0)
			if err != nil {
				return err
			}
			r.drop()
			told.Tokens, told.Seconds = t.PromptTokens, t.PrefillSeconds
		case "decode":
			k := key{max(1, ask.Streams), max(shortPrompt, ask.Depth)}
			decode, ok := decoders[k]
			if !ok {
				if decode, ok = r.decoder(k.streams, k.depth); !ok {
					return fmt.Errorf("%d positions are too many", k.depth)
				}
				decoders[k] = decode
				if _, err := decode(ctx, 0); err != nil {
					return err
				}
			}
			t, err := decode(ctx, time.Duration(ask.Seconds*float64(time.Second)))
			if err != nil {
				return err
			}
			told.Tokens, told.Seconds = t.DecodeSteps, t.DecodeSeconds
		default:
			return fmt.Errorf("unknown work %q", ask.Do)
		}
		if err := out.Encode(told); err != nil {
			return err
		}
	}
}

// drop closes the latest session.
func (r *runner) drop() {
	last := len(r.sessions) - 1
	r.sessions[last].Close()
	r.sessions = r.sessions[:last]
}
