package kernel

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// tinyConfig is a Llama of 2 layers whose vocabulary is the 256 bytes and 4
// special tokens.
func tinyConfig() weights.Config {
	return weights.Config{
		Architecture: "llama", HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 4,
		NumKeyValueHeads: 2, HeadDim: 8, VocabSize: 260, MaxPositionEmbeddings: 4096, RMSNormEps: 1e-5,
		RopeTheta: 10000, BOS: 256, EOS: []int{257}, DType: "float32",
	}
}

// tinyModel writes a Hugging Face folder with random float32 weights of a fixed
// seed and a byte-level tokenizer, and returns its path.
func tinyModel(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	cfg := tinyConfig()
	writeJSON(t, filepath.Join(dir, "config.json"), map[string]any{
		"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_size": cfg.HiddenSize,
		"intermediate_size": cfg.IntermediateSize, "num_hidden_layers": cfg.NumHiddenLayers, "num_attention_heads": cfg.NumAttentionHeads,
		"num_key_value_heads": cfg.NumKeyValueHeads, "vocab_size": cfg.VocabSize, "max_position_embeddings": cfg.MaxPositionEmbeddings,
		"rms_norm_eps": cfg.RMSNormEps, "rope_theta": cfg.RopeTheta, "tie_word_embeddings": false, "bos_token_id": 256,
		"eos_token_id": 257, "torch_dtype": "float32", "hidden_act": "silu",
	})
	rnd := rand.New(rand.NewPCG(7, 7))
	header := map[string]any{}
	var body []byte
	for _, s := range weights.TensorShapes(cfg) {
		from := len(body)
		n := 1
		for _, d := range s.Shape {
			n *= d
		}
		for range n {
			x := float32(rnd.NormFloat64() * 0.3)
			if len(s.Shape) == 1 {
				x = 1
			}
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(x))
		}
		header[s.Name] = map[string]any{"dtype": "F32", "shape": s.Shape, "data_offsets": []int{from, len(body)}}
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), append(file, body...), 0o600); err != nil {
		t.Fatal(err)
	}
	writeTokenizer(t, filepath.Join(dir, "tokenizer.json"))
	return dir
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeTokenizer writes a byte-level BPE without merges: a byte is a token.
func writeTokenizer(t testing.TB, path string) {
	t.Helper()
	vocab := map[string]int{}
	next := 256 // GPT-2 shows bytes without a printable form as U+0100 and on
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae) {
			r = rune(next)
			next++
		}
		vocab[string(r)] = b
	}
	var added []any
	for i, s := range []string{"<s>", "</s>", "<|im_start|>", "<|im_end|>"} {
		added = append(added, map[string]any{"id": 256 + i, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	writeJSON(t, path, map[string]any{
		"version": "1.0", "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
	})
}

// slowly is the CPU backend with a pause before each step, and a count of the
// models opened.
func slowly(pause time.Duration, opened *atomic.Int64) engine.OpenBackend {
	return func(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions, progress func(done, total int64)) (engine.Backend, error) {
		b, err := cpu.Open(ctx, cfg, src, opt, progress)
		if err != nil {
			return nil, err
		}
		if opened != nil {
			opened.Add(1)
		}
		return slowBackend{b, pause}, nil
	}
}

type slowBackend struct {
	engine.Backend
	pause time.Duration
}

func (b slowBackend) Step(ctx context.Context, batch *engine.Batch) (*engine.Result, error) {
	time.Sleep(b.pause)
	return b.Backend.Step(ctx, batch)
}

// testResident runs a resident in this process, on ipc in a folder of its own,
// and returns its connection file and what Serve will return.
func testResident(t testing.TB, opt ServeOptions) (connFile string, ended <-chan error) {
	t.Helper()
	dir := shortDir(t)
	t.Setenv("LLAMA_GO_RUNTIME", dir)
	opt.Version = "test"
	if opt.Open == nil {
		opt.Open = cpu.Open
	}
	opt.Estimate = cpu.Estimate
	opt.ConnectionFile = filepath.Join(dir, "c.json")
	opt.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		done <- Serve(ctx, opt)
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	eventually(t, "the resident answers", func() bool { return answers(ctx, opt.ConnectionFile) == nil })
	return opt.ConnectionFile, done
}

// shortDir is a temporary folder with a path short enough for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 s: " + what)
		}
	}
}

// noLeak fails the test when goroutines stay behind; call it first.
func noLeak(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func connectTo(t testing.TB, file, name string) *remoteHost {
	t.Helper()
	h, err := ConnectHost(t.Context(), ConnectOptions{ConnectionFile: file, Version: "test", ClientName: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h.(*remoteHost)
}

func openTiny(t *testing.T, h Host, path string) Model {
	t.Helper()
	m, err := h.Open(t.Context(), rpc.OpenParams{Path: path, DType: "auto", Precision: "exact"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openSession(t *testing.T, m Model, rows, length int) Session {
	t.Helper()
	s, err := m.Session(t.Context(), rpc.SessionParams{MaxBatchSize: rows, MaxSeqLen: length})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// psOf is what the resident says to h.
func psOf(t *testing.T, h Host) rpc.PSResult {
	t.Helper()
	r, err := h.PS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kindOf is an error's kind, "" for nil.
func kindOf(err error) rpc.Kind {
	if err == nil {
		return ""
	}
	e, ok := err.(*rpc.Error)
	if !ok {
		return rpc.Kind(fmt.Sprintf("%T", err))
	}
	return e.Data.Kind
}
