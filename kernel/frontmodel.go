package kernel

import (
	"context"
	"errors"
	"time"

	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// openModel is the front's current model and its sessions: one for the
// conversation and one for raw completions, so that neither disturbs what the
// other has computed.
type openModel struct {
	Model
	name     string // as it was asked for
	chat     Session
	raw      Session
	chatLen  int // max_seq_len that chat was opened with
	openedIn time.Duration
	noted    bool // that it has no chat format
}

// release closes the sessions and the model. A dead resident's handles fail to
// close, which is all the same.
func (m *openModel) release() {
	for _, s := range []Session{m.chat, m.raw} {
		if s != nil {
			_ = s.Close()
		}
	}
	_ = m.Model.Close()
}

// chats says whether the model has a chat format; else a cell is a raw
// completion.
func (m *openModel) chats() bool {
	tok := m.Info().Info.Tokenizer
	return tok != nil && tok.ChatFormat != ""
}

// chatSession is the conversation's session, opened anew when its size is no
// longer the wanted one.
func (m *openModel) chatSession(ctx context.Context, maxSeqLen int) (Session, error) {
	if m.chat != nil && m.chatLen != maxSeqLen {
		_ = m.chat.Close()
		m.chat = nil
	}
	if m.chat == nil {
		s, err := m.Session(ctx, rpc.SessionParams{Model: m.Info().Model, MaxBatchSize: 1, MaxSeqLen: maxSeqLen})
		if err != nil {
			return nil, err
		}
		m.chat, m.chatLen = s, maxSeqLen
	}
	return m.chat, nil
}

// rawSession is the session of raw completions.
func (m *openModel) rawSession(ctx context.Context) (Session, error) {
	if m.raw == nil {
		s, err := m.Session(ctx, rpc.SessionParams{Model: m.Info().Model, MaxBatchSize: 1})
		if err != nil {
			return nil, err
		}
		m.raw = s
	}
	return m.raw, nil
}

// current returns the open model; the first use opens the default one.
func (x *execution) current() (*openModel, error) {
	if x.front.model != nil {
		return x.front.model, nil
	}
	return x.open(x.front.modelName)
}

// open opens a model by name or path, pulling a known one that is not here, and
// makes it the current one. On failure the model before stays.
func (x *execution) open(name string) (*openModel, error) {
	f := x.front
	start := time.Now()
	path, err := store.Resolve(name)
	var missing *store.NotPulledError
	if errors.As(err, &missing) {
		path, err = x.pull(name)
	}
	if err != nil {
		return nil, unknownModel(name, err)
	}
	settings := f.settingsNow()
	bar := x.progress("loading " + name)
	m, err := f.host.Open(x.ctx, rpc.OpenParams{
		Path: path, DType: "auto", Quantize: settings.quantize, Precision: settings.precision,
		MaxBatchSize: 1, MaxSeqLen: settings.maxSeqLen,
	}, func(p rpc.LoadProgress) { bar.update(p.Bytes, p.Total) })
	bar.done()
	if err != nil {
		return nil, quantizeRefused(settings.quantize, err)
	}
	if m.Info().Info.Tokenizer == nil {
		_ = m.Close()
		return nil, userError{"TokenizerError", name + " has no tokenizer, expected tokenizer.json or tokenizer.model beside the weights or one level up",
			"put the model's tokenizer there; llama-go kernel cells are text"}
	}
	next := &openModel{Model: m, name: name, openedIn: time.Since(start)}
	if old := f.model; old != nil {
		old.release()
	}
	f.mu.Lock()
	f.model, f.modelName = next, name
	f.settings.advice = adviceOf(m.Info().Info.Sampling)
	f.mu.Unlock()
	return next, nil
}

// quantizeRefused adds to the refusal of a model that was to be quantized how a
// cell does without.
func quantizeRefused(quantize string, err error) error {
	var e *rpc.Error
	if quantize == "" || !errors.As(err, &e) || e.Data.Kind != rpc.KindRequest {
		return err
	}
	return userError{exceptions[rpc.KindRequest], e.Message, "%set quantize=none keeps the file's types; " + e.Data.Hint}
}

// unknownModel adds to an error of finding a model what a cell can do about it.
func unknownModel(name string, err error) error {
	var stored *store.Error
	if !errors.As(err, &stored) || stored.Kind != store.KindMissingFile {
		return err
	}
	hint := didYouMean("%model ", name, store.Names()) + stored.Tip + "; %model " + store.Names()[0] + " pulls that one if it is not here yet"
	return userError{exceptions[rpc.KindMissingFile], stored.Msg, hint}
}

// pull brings a known model into the cache, showing how far it is.
func (x *execution) pull(name string) (string, error) {
	bar := x.progress("pulling " + name)
	bar.now()
	defer bar.done()
	return store.Pull(x.ctx, name, bar.update)
}

// reopen opens the current model again after its resident died. The
// conversation's ids hold: it is the same file and the same tokenizer.
func (x *execution) reopen() (*openModel, error) {
	f := x.front
	old := f.model
	m, err := x.open(f.modelName)
	if err != nil {
		return nil, err
	}
	if old != nil && f.talk.owner == encoder(old) {
		f.talk.owner = m
	}
	return m, nil
}
