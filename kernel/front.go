package kernel

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/llama-go/llama-go/messaging"
)

// defaultModel is what a cell talks to when no %model was given.
const defaultModel = "smollm2"

// FrontOptions make a Front.
type FrontOptions struct {
	Version string // of this binary
	Model   string // the first model, a name or a path; "": smollm2
}

// Front is what a cell means: prompts, magics, completion, inspection and
// history, against a Host. It implements messaging.Kernel, for the process that
// Jupyter starts and for the resident's own console.
type Front struct {
	host    Host
	version string
	history history

	// Cells run one at a time: these belong to the running one.
	talk conversation

	mu        sync.Mutex // guards what other requests read while a cell runs
	settings  settings
	modelName string
	model     *openModel
	stopped   int // cells that were stopped by a %stop that has not run yet
}

var (
	_ messaging.Kernel  = (*Front)(nil)
	_ messaging.Stopper = (*Front)(nil)
)

// NewKernel makes a Front over h, which stays the caller's to close. Nothing is
// opened before the first cell needs it.
func NewKernel(h Host, opt FrontOptions) *Front {
	if opt.Model == "" {
		opt.Model = defaultModel
	}
	if opt.Version == "" {
		opt.Version = "devel"
	}
	return &Front{host: h, version: opt.Version, modelName: opt.Model, settings: defaultSettings()}
}

// Info implements messaging.Kernel.
func (f *Front) Info() messaging.KernelInfo {
	return messaging.KernelInfo{
		Implementation:        "llama-go",
		ImplementationVersion: f.version,
		Banner: fmt.Sprintf("llama-go %s: a cell is a message to a Llama model (%s), the answer streams below it.\n"+
			"%%help lists the magics, %%model NAME|PATH changes the model, %%stop or Ctrl-C stops an answer.", f.version, f.currentName()),
		LanguageInfo: messaging.LanguageInfo{
			Name:           "llama",
			Version:        f.version,
			MIMEType:       "text/markdown",
			FileExtension:  ".md",
			PygmentsLexer:  "text",
			CodeMirrorMode: "markdown",
		},
		HelpLinks: []messaging.HelpLink{
			{Text: "llama-go", URL: "https://github.com/llama-go/llama-go"},
			{Text: "Meta Llama prompt formats", URL: "https://www.llama.com/docs/model-cards-and-prompt-formats/"},
			{Text: "Jupyter messaging", URL: "https://jupyter-client.readthedocs.io/en/stable/messaging.html"},
		},
		SupportedFeatures: []string{},
	}
}

// versionLine is what %version shows.
func (f *Front) versionLine() string {
	return fmt.Sprintf("llama-go %s (%s, %s/%s, Jupyter protocol %s)", f.version, runtime.Version(), runtime.GOOS, runtime.GOARCH, messaging.ProtocolVersion)
}

func (f *Front) settingsNow() settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settings
}

func (f *Front) currentName() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.modelName
}

// IsComplete implements messaging.Kernel.
func (f *Front) IsComplete(_ context.Context, req messaging.IsCompleteRequest) messaging.IsCompleteReply {
	return messaging.IsCompleteReply{Status: isComplete(req.Code)}
}

// History implements messaging.Kernel.
func (f *Front) History(_ context.Context, req messaging.HistoryRequest) messaging.HistoryReply {
	return messaging.HistoryReply{History: f.history.find(req)}
}

// Stops implements messaging.Stopper: a cell with %stop ends the running one.
func (f *Front) Stops(code string) bool {
	for _, m := range parseCell(code).magics {
		if m.name == "stop" && !m.help && m.check() == nil {
			f.mu.Lock()
			f.stopped++
			f.mu.Unlock()
			return true
		}
	}
	return false
}

// Interrupt implements messaging.Kernel: a cell's context is all that its work
// listens to.
func (f *Front) Interrupt() {}

// Shutdown implements messaging.Kernel: what the host holds goes when its owner
// closes it.
func (f *Front) Shutdown(bool) {}

// Close lets go of the model and its sessions. No cell may run any more.
func (f *Front) Close() {
	f.mu.Lock()
	m := f.model
	f.model = nil
	f.mu.Unlock()
	if m == nil {
		return
	}
	done := make(chan struct{})
	go func() { defer close(done); m.release() }()
	select {
	case <-done:
	case <-time.After(time.Second): // the host's end releases it
	}
}
