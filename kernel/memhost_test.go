package kernel

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
	"github.com/llama-go/llama-go/weights"
)

// memHost is a Host without an engine, for what is text and bookkeeping alone:
// ids are bytes, the chat format is <role>text<end>, an answer is what say
// returns. Sessions keep their row, so that reuse can be seen.
type memHost struct {
	mu        sync.Mutex
	format    string // chat format; "": none
	limit     int    // max_seq_len of sessions
	say       func(prompt string) string
	dieAfter  int // tokens until the resident dies, once; 0: never
	opened    int
	refuse    error // of Open
	sampling  rpc.Sampling
	precision string   // of the last Open
	quantize  string   // the same
	prompts   []string // of every generate
	reused    []int
	params    []rpc.GenerateParams
	block     chan struct{} // generate waits here after its first token when not nil
	streaming chan struct{} // told once the first token is out
}

const (
	memSystem, memUser, memAssistant, memEnd = 256, 257, 258, 259
)

func memIDs(s string) []int32 {
	var ids []int32
	for _, b := range []byte(s) {
		ids = append(ids, int32(b))
	}
	return ids
}

func memText(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		switch id {
		case memSystem:
			b.WriteString("<s>")
		case memUser:
			b.WriteString("<u>")
		case memAssistant:
			b.WriteString("<a>")
		case memEnd:
			b.WriteString("</>")
		default:
			b.WriteByte(byte(id))
		}
	}
	return b.String()
}

type memModel struct {
	h              *memHost
	path, quantize string
	dead           bool
}

type memSession struct {
	m   *memModel
	row []int32
	max int
}

func gone() error {
	return &rpc.Error{Code: rpc.CodeFailed, Message: "the resident is gone", Data: rpc.ErrorData{Kind: rpc.KindKernelGone}}
}

func (h *memHost) Open(_ context.Context, p rpc.OpenParams, progress func(rpc.LoadProgress)) (Model, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return nil, h.refuse
	}
	h.opened++
	h.precision, h.quantize = p.Precision, p.Quantize
	progress(rpc.LoadProgress{Bytes: 10, Total: 10})
	return &memModel{h: h, path: p.Path, quantize: p.Quantize}, nil
}
func (h *memHost) Stats(context.Context) (rpc.StatsResult, error) {
	return rpc.StatsResult{RSSBytes: 1 << 20}, nil
}
func (h *memHost) PS(context.Context) (rpc.PSResult, error) { return rpc.PSResult{}, nil }
func (h *memHost) Close() error                             { return nil }

func (m *memModel) Info() rpc.OpenResult {
	return rpc.OpenResult{Model: "m1", Config: weights.Config{NumHiddenLayers: 2}, Info: rpc.ModelInfo{
		Name: "mem <1>", Path: m.path, Parameters: 1234567, Bytes: 5 << 20, MaxSeqLen: 4096, DType: "Q4_1", Quantize: m.quantize, Format: "gguf", Precision: "exact", Backend: "none",
		Sampling:  m.h.sampling,
		Tokenizer: &rpc.TokInfo{Kind: "bpe", Words: 260, ChatFormat: m.h.format},
	}}
}
func (m *memModel) Tokenize(_ context.Context, p rpc.TokenizeParams) ([]int32, error) {
	if m.dead {
		return nil, gone()
	}
	return memIDs(p.Text), nil
}
func (m *memModel) Detokenize(_ context.Context, p rpc.DetokenizeParams) (rpc.TextResult, error) {
	var pieces []string
	for _, id := range p.IDs {
		pieces = append(pieces, memText([]int32{id}))
	}
	return rpc.TextResult{Text: memText(p.IDs), Pieces: pieces}, nil
}
func (m *memModel) EncodeDialog(_ context.Context, p rpc.ChatParams) (rpc.ChatResult, error) {
	if m.dead {
		return rpc.ChatResult{}, gone()
	}
	var ids []int32
	for _, msg := range p.Dialog {
		mark := map[string]int32{"system": memSystem, "user": memUser, "assistant": memAssistant}[msg.Role]
		ids = append(append(append(ids, mark), memIDs(msg.Content)...), memEnd)
	}
	return rpc.ChatResult{IDs: append(ids, memAssistant)}, nil
}
func (m *memModel) Session(_ context.Context, p rpc.SessionParams) (Session, error) {
	if m.dead {
		return nil, gone()
	}
	s := &memSession{m: m, max: p.MaxSeqLen}
	if s.max == 0 {
		s.max = m.h.limit
	}
	return s, nil
}
func (m *memModel) Close() error { return nil }

func (s *memSession) Info() rpc.SessionResult {
	return rpc.SessionResult{Session: "s1", MaxBatchSize: 1, MaxSeqLen: s.max}
}
func (s *memSession) Close() error { return nil }

func (s *memSession) Generate(ctx context.Context, p rpc.GenerateParams, emit func(rpc.GenerateProgress)) (rpc.GenerateResult, error) {
	h := s.m.h
	if s.m.dead {
		return rpc.GenerateResult{}, gone()
	}
	prompt := p.Rows[0]
	n := 0
	for n < min(len(prompt), len(s.row)) && prompt[n] == s.row[n] {
		n++
	}
	h.mu.Lock()
	h.prompts = append(h.prompts, memText(prompt))
	h.reused = append(h.reused, n)
	h.params = append(h.params, p)
	h.mu.Unlock()
	if len(prompt)+p.MaxGenLen > s.max {
		return rpc.GenerateResult{}, fmt.Errorf("memHost: %d + %d tokens, the session holds %d", len(prompt), p.MaxGenLen, s.max)
	}
	// What was said already is part of the prompt when a generation is taken up
	// again: answer the rest of it.
	text := memText(prompt)
	mark := strings.LastIndex(text, "<a>")
	said := ""
	if mark >= 0 {
		text, said = text[:mark], text[mark+len("<a>"):]
	}
	answer := memIDs(strings.TrimPrefix(h.say(text), said))
	finish := engine.FinishStop
	if len(answer) > p.MaxGenLen {
		answer, finish = answer[:p.MaxGenLen], engine.FinishLength
	}
	var out []int32
	for i, id := range answer {
		if ctx.Err() != nil {
			finish = engine.FinishInterrupted
			break
		}
		if h.dieAfter > 0 && i == h.dieAfter {
			h.dieAfter, s.m.dead = 0, true
			return rpc.GenerateResult{}, gone()
		}
		out = append(out, id)
		emit(rpc.GenerateProgress{Chunks: []rpc.TokenChunk{{IDs: []int32{id}, Text: memText([]int32{id})}}})
		if i == 0 && h.block != nil {
			h.streaming <- struct{}{}
			select {
			case <-h.block:
			case <-ctx.Done():
			}
		}
	}
	s.row = append(append([]int32{}, prompt...), out...)
	return rpc.GenerateResult{
		Rows:    []rpc.GenerateRow{{IDs: out, Text: memText(out), Finish: finish, Reused: n}},
		Timings: engine.Timings{PromptTokens: len(prompt) - n, ReusedTokens: n, PrefillSeconds: 0.1, GeneratedTokens: len(out), DecodeSteps: len(out), DecodeSeconds: 0.1},
	}, nil
}

// memOutput records what a cell writes, in order.
type memOutput struct {
	mu       sync.Mutex
	streams  map[string]string
	displays []map[string]any // as they stand at the end
	ids      []string
	results  []map[string]any
	updates  int
}

// Clear drops what has come, as a front end does.
func (o *memOutput) Clear(bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.streams)
	o.displays, o.ids, o.results = nil, nil, nil
}

func (o *memOutput) Stream(name, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.streams == nil {
		o.streams = map[string]string{}
	}
	o.streams[name] += text
}
func (o *memOutput) Display(data, _ map[string]any, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.displays, o.ids = append(o.displays, data), append(o.ids, id)
}
func (o *memOutput) UpdateDisplay(data, _ map[string]any, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.ids {
		if o.ids[i] == id && id != "" {
			o.displays[i] = data
			o.updates++
		}
	}
}
func (o *memOutput) Result(data, _ map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.results = append(o.results, data)
}

func (o *memOutput) stdout() string { return o.streams["stdout"] }
func (o *memOutput) stderr() string { return o.streams["stderr"] }

// memFront is a front over h with a model that is a path to an empty file.
type memFront struct {
	*Front
	count int
}

// run runs a cell; id "" is a console's.
func (f *memFront) run(code, id string) (*memOutput, messaging.ExecuteReply) {
	return f.runContext(context.Background(), code, id)
}

func (f *memFront) runContext(ctx context.Context, code, id string) (*memOutput, messaging.ExecuteReply) {
	out := &memOutput{}
	f.count++
	req := newRequest(id)
	req.Code, req.StoreHistory, req.Count = code, true, f.count
	return out, f.execute(ctx, req, out)
}

// newRequest is an execute_request of a notebook's cell, or with id "" of a
// console.
func newRequest(id string) *messaging.ExecuteRequest {
	return &messaging.ExecuteRequest{CellID: id, AllowStdin: true}
}
