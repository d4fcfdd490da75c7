package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/engine/tokenizer"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/weights"
)

// Every test closes what it opens: no loop and no worker stays behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// byteVocab is a GGUF vocabulary of the 256 byte tokens and then extra names.
func byteVocab(extra ...string) *weights.GGUFVocab {
	v := &weights.GGUFVocab{Model: "gpt2", Pre: "gpt-2", BOS: -1, EOS: -1, UNK: -1}
	next := rune(256)
	for b := range rune(256) {
		r := b // GPT-2 writes printable bytes as themselves, others from U+0100 on
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = next
			next++
		}
		v.Tokens = append(v.Tokens, string(r))
		v.Types = append(v.Types, 1)
	}
	for _, e := range extra {
		v.Tokens = append(v.Tokens, e)
		v.Types = append(v.Types, 3)
	}
	return v
}

func tinyCheckpoint(vocab int, v *weights.GGUFVocab) *weights.Checkpoint {
	cfg := tinyConfig()
	cfg.VocabSize = vocab
	return &weights.Checkpoint{
		Source: tinyWeights(cfg, weights.F32), Config: cfg, EOS: []int{256, 257},
		Tokenizer: weights.Tokenizer{Path: "tiny.gguf", GGUF: v},
	}
}

func TestOpenChecksTheTokenizer(t *testing.T) {
	// A padded table is common; a tokenizer beyond the table is another model's.
	e, err := engine.Open(t.Context(), tinyCheckpoint(300, byteVocab("<|im_start|>", "<|im_end|>")), cpu.Open, engine.Options{Precision: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Tokenizer() == nil || e.Tokenizer().Size() != 258 || !slices.Equal(e.StopIDs(), []int32{256, 257}) || e.ChatFormat() != tokenizer.ChatML {
		t.Errorf("tokenizer %v, stop %v, chat format %q", e.Tokenizer(), e.StopIDs(), e.ChatFormat())
	}
	if want := int64(300*64*2 + 64 + 2*(64*64*2+32*64*2+3*96*64+2*64)); e.Parameters() != want || e.WeightBytes() != 4*want {
		t.Errorf("%d parameters in %d bytes, want %d of 4", e.Parameters(), e.WeightBytes(), want)
	}
	_, err = engine.Open(t.Context(), tinyCheckpoint(257, byteVocab("<|im_start|>", "<|im_end|>")), cpu.Open, engine.Options{})
	var tok *tokenizer.Error
	if !errors.Is(err, engine.ErrVocabulary) || !errors.As(err, &tok) || !strings.Contains(err.Error(), "258 tokens") || !strings.Contains(err.Error(), "257") {
		t.Errorf("258 tokens for 257 rows: %v", err)
	}
	broken := byteVocab()
	broken.Types = broken.Types[:3]
	if _, err := engine.Open(t.Context(), tinyCheckpoint(300, broken), cpu.Open, engine.Options{}); !errors.As(err, &tok) || !strings.Contains(err.Error(), "tiny.gguf") {
		t.Errorf("a broken vocabulary: %v", err)
	}
	none, err := engine.Open(t.Context(), tinyCheckpoint(300, nil), cpu.Open, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if none.Tokenizer() != nil || none.ChatFormat() != "" {
		t.Error("a tokenizer from nothing")
	}
}

func TestAModelWithoutAFile(t *testing.T) {
	cfg := tinyConfig()
	var told, total int64
	e, err := engine.OpenSource(t.Context(), cfg, engine.RandomSource(cfg, weights.BF16, 3), cpu.Open,
		engine.Options{Precision: engine.Exact, Progress: func(d, n int64) { told, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if want := 2 * e.Parameters(); told != want || total != want || e.WeightBytes() != want {
		t.Errorf("progress %d of %d, %d bytes, want %d", told, total, e.WeightBytes(), want)
	}
	res := run(t, session(t, e), t.Context(), engine.GenerateRequest{Rows: [][]int32{{1, 2, 3, 4, 5}}, MaxGenLen: 10, Temperature: 0.7, TopP: 0.9, LogProbs: true})
	if len(res.Rows[0].IDs) != 10 || e.KVBytes() == 0 {
		t.Errorf("%+v, %d bytes of KV", res.Rows[0], e.KVBytes())
	}
}

func TestSmolLM2Answers(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("a real model takes too long here (-short or -race)")
	}
	ck, err := weights.Open(t.Context(), testdata.SmolLM2(t), weights.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(t.Context(), ck, cpu.Open, engine.Options{Precision: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got := e.StopIDs(); !slices.Equal(got, []int32{0, 2}) {
		t.Errorf("stop ids %v", got)
	}
	s := session(t, e)
	ask := func(dialog ...tokenizer.Message) (string, engine.GenerateResult) {
		t.Helper()
		ids, _, err := e.Tokenizer().EncodeDialog(e.ChatFormat(), e.ChatTemplate(), dialog)
		if err != nil {
			t.Fatal(err)
		}
		res := run(t, s, t.Context(), engine.GenerateRequest{Rows: [][]int32{ids}, MaxGenLen: 16, StopIDs: e.StopIDs()})
		return e.Tokenizer().Decode(res.Rows[0].IDs), res
	}
	question := tokenizer.Message{Role: "user", Content: "What is the capital of France?"}
	answer, first := ask(question)
	if !strings.Contains(answer, "Paris") || first.Rows[0].Finish != engine.FinishStop {
		t.Errorf("answer %q, %s", answer, first.Rows[0].Finish)
	}
	// A further turn costs its own tokens and the one that was drawn last.
	_, second := ask(question, tokenizer.Message{Role: "assistant", Content: answer}, tokenizer.Message{Role: "user", Content: "And of Italy?"})
	held := first.Timings.PromptTokens + first.Timings.GeneratedTokens
	if second.Timings.ReusedTokens != held {
		t.Errorf("the second turn reused %d of %d positions", second.Timings.ReusedTokens, held)
	}
}
