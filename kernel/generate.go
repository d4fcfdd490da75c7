package kernel

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// answer is what a cell's generation came to so far. When its resident dies, a
// second generation goes on behind the ids that arrived: draws depend on seed
// and position alone, so the text is the one that it would have been.
type answer struct {
	live    *liveText
	mu      sync.Mutex // guards ids and text while a generation streams
	ids     []int32
	text    string
	reason  engine.FinishReason
	timings engine.Timings
	start   time.Time
	first   time.Duration // until the first token; 0: none came
	set     settings
	seed    uint64
	model   string
	prompt  int  // tokens
	atEnd   bool // the context ended it
	notes   []string
}

// newAnswer fixes the settings and the seed for all tries.
func newAnswer(x *execution) *answer {
	f := x.front
	f.mu.Lock()
	defer f.mu.Unlock()
	return &answer{live: newLiveText(x.out, x.rich()), set: f.settings, seed: f.settings.nextSeed()}
}

func (a *answer) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

func (a *answer) interrupted() bool { return a.reason == engine.FinishInterrupted }

// generate continues prompt and what the answer has so far.
func (x *execution) generate(m *openModel, s Session, prompt []int32, a *answer) error {
	limit := s.Info().MaxSeqLen
	had := len(a.ids)
	room, want := limit-len(prompt)-had, a.set.maxGenLen-had
	if room <= 0 && had == 0 {
		return userError{"RequestError", fmt.Sprintf("the prompt has %d tokens, the context holds %d with the answer", len(prompt), limit),
			fmt.Sprintf("shorten it, or %%set max_seq_len=… up to the model's %d", m.Info().Info.MaxSeqLen)}
	}
	a.model, a.prompt = m.name, len(prompt)
	if had == 0 {
		a.start = time.Now()
	}
	if room <= 0 || want <= 0 {
		a.reason, a.atEnd = engine.FinishLength, room <= 0
		return nil
	}
	row := append(append(make([]int32, 0, len(prompt)+had), prompt...), a.ids...)
	a.set.advice = adviceOf(m.Info().Info.Sampling) // the model may have been opened after the settings were taken
	temperature, topP := a.set.drawing()
	p := rpc.GenerateParams{
		Session: s.Info().Session, Rows: [][]int32{row}, MaxGenLen: min(room, want),
		Temperature: temperature, TopP: topP, Seeds: []uint64{a.seed}, Text: true, Stream: true,
	}
	a.live.wait()
	over := false // the call has returned: what still comes is late
	r, err := s.Generate(x.ctx, p, func(g rpc.GenerateProgress) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !over {
			a.take(g)
		}
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	over = true
	if err != nil {
		return err
	}
	if len(r.Rows) != 1 {
		return fmt.Errorf("kernel: generate returned %d rows, expected 1", len(r.Rows))
	}
	a.ids = append(a.ids[:had:had], r.Rows[0].IDs...)
	a.reason, a.timings = r.Rows[0].Finish, r.Timings
	a.atEnd = a.reason == engine.FinishLength && room <= want
	return nil
}

// take adds what a progress message brings.
func (a *answer) take(g rpc.GenerateProgress) {
	a.live.reading(g.PrefillDone, g.PrefillTotal)
	for _, c := range g.Chunks {
		if c.Echo {
			continue
		}
		if a.first == 0 && len(c.IDs) > 0 {
			a.first = time.Since(a.start)
		}
		a.ids = append(a.ids, c.IDs...)
		a.text += c.Text
		a.live.add(c.Text)
	}
}

// finish ends the text, writes the grey line and the reply's metadata. An
// interrupted answer is a KeyboardInterrupt.
func (a *answer) finish(x *execution) error {
	a.live.close()
	x.text.WriteString(a.text)
	switch {
	case a.atEnd:
		a.note("the context is full")
	case a.reason == engine.FinishLength:
		a.note("stopped at max_gen_len=%d", a.set.maxGenLen)
	case a.interrupted():
		a.note("stopped")
	}
	x.greyLine(a.line())
	t := a.timings
	temperature, topP := a.set.drawing()
	x.metadata = map[string]any{"llama_go": map[string]any{
		"model": a.model, "finish_reason": string(a.reason), "seed": a.seed,
		"sampler":       map[string]any{"temperature": temperature, "top_p": topP, "max_gen_len": a.set.maxGenLen},
		"prompt_tokens": a.prompt, "computed_tokens": t.PromptTokens, "reused_tokens": t.ReusedTokens, "generated_tokens": len(a.ids),
		"ttft_s": a.first.Seconds(), "prefill_tok_s": units.Rate(t.PromptTokens, t.PrefillSeconds), "decode_tok_s": units.Rate(t.DecodeSteps, t.DecodeSeconds),
	}}
	if a.interrupted() {
		return userError{"KeyboardInterrupt", fmt.Sprintf("stopped after %s", plural(len(a.ids), "token")), ""}
	}
	return nil
}

// line is the grey line under an answer.
func (a *answer) line() string {
	t := a.timings
	parts := []string{
		fmt.Sprintf("prefill %s", tokensAt(t.PromptTokens, t.PromptTokens, t.PrefillSeconds)),
		fmt.Sprintf("decode %s", tokensAt(t.GeneratedTokens, t.DecodeSteps, t.DecodeSeconds)),
	}
	if t.ReusedTokens > 0 {
		parts = append(parts, fmt.Sprintf("%d reused", t.ReusedTokens))
	}
	if a.first > 0 {
		parts = append(parts, "first after "+seconds(a.first))
	}
	if temperature, _ := a.set.drawing(); temperature == 0 {
		parts = append(parts, "greedy")
	} else {
		parts = append(parts, fmt.Sprintf("seed %d", a.seed))
	}
	return strings.Join(append(parts, a.notes...), " · ")
}

// tokensAt tells of tokens, and at what rate the positions were computed.
func tokensAt(tokens, positions int, secs float64) string {
	s := plural(tokens, "token")
	if r := units.Rate(positions, secs); r > 0 {
		s += fmt.Sprintf(" at %.*f tok/s", decimals(r), r)
	}
	return s
}

func decimals(r float64) int {
	if r < 100 {
		return 1
	}
	return 0
}
