package messaging

import (
	"context"
	"encoding/json"
)

// Kernel is what the server asks of a kernel. A panic in any method fails that
// request alone.
type Kernel interface {
	// Info is the content of kernel_info_reply. It is called once per request
	// and must return at once.
	Info() KernelInfo

	// Execute runs one cell. Calls come one at a time, in order, on their own
	// goroutine; ctx ends when the execution is interrupted or the server shuts
	// down. Everything written to out is published before the reply. A reply
	// with Status "error" is published as one error output too.
	Execute(ctx context.Context, req *ExecuteRequest, out *Output) ExecuteReply

	// These are answered on the channel's loop, also while a cell runs: they
	// must return within tens of milliseconds. ctx ends after 5 s.
	Complete(ctx context.Context, req CompleteRequest) CompleteReply
	Inspect(ctx context.Context, req InspectRequest) InspectReply
	IsComplete(ctx context.Context, req IsCompleteRequest) IsCompleteReply
	History(ctx context.Context, req HistoryRequest) HistoryReply

	// Interrupt is called after the running cell's ctx has been cancelled, for
	// work that no ctx reaches; also when no cell runs.
	Interrupt()

	// Shutdown is called once, before Serve returns because of a
	// shutdown_request; restart says that the launcher will start a new kernel.
	Shutdown(restart bool)
}

// KernelInfo is what a kernel says about itself. The server adds status and
// protocol_version.
type KernelInfo struct {
	Implementation        string       `json:"implementation"`
	ImplementationVersion string       `json:"implementation_version"`
	Banner                string       `json:"banner"`
	LanguageInfo          LanguageInfo `json:"language_info"`
	HelpLinks             []HelpLink   `json:"help_links"`
	SupportedFeatures     []string     `json:"supported_features"`
}

// LanguageInfo describes the language of a kernel's cells.
type LanguageInfo struct {
	Name              string `json:"name"`
	Version           string `json:"version"`
	MIMEType          string `json:"mimetype"`
	FileExtension     string `json:"file_extension"` // with its dot
	PygmentsLexer     string `json:"pygments_lexer,omitempty"`
	CodeMirrorMode    any    `json:"codemirror_mode,omitempty"` // a name, or an object
	NBConvertExporter string `json:"nbconvert_exporter,omitempty"`
}

// HelpLink is an entry of a front end's Help menu.
type HelpLink struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// ExecuteRequest is one cell to run.
type ExecuteRequest struct {
	Code            string
	Silent          bool // no execute_input, outputs or history
	StoreHistory    bool // false whenever Silent
	AllowStdin      bool
	StopOnError     bool
	UserExpressions map[string]string

	Count    int            // execution_count of this cell
	CellID   string         // metadata cellId: JupyterLab and VS Code send it, the console does not
	Metadata map[string]any // the request's metadata
	Session  string         // the client's session
	Request  *Request       // the message itself
}

// ExecuteReply is how a cell ended.
type ExecuteReply struct {
	Status    string // "ok" or "error"; "" is "ok"
	EName     string
	EValue    string
	Traceback []string

	Payload         []map[string]any
	UserExpressions map[string]any // per key an object with status ok (data, metadata) or error (ename, evalue, traceback)
	Metadata        map[string]any // of the reply; the server adds started
}

// CompleteRequest asks for completions at CursorPos, in Unicode code points.
type CompleteRequest struct {
	Code      string `json:"code"`
	CursorPos int    `json:"cursor_pos"`
}

// CompleteReply says what may replace code points [CursorStart, CursorEnd).
type CompleteReply struct {
	Matches     []string       `json:"matches"`
	CursorStart int            `json:"cursor_start"`
	CursorEnd   int            `json:"cursor_end"`
	Metadata    map[string]any `json:"metadata"`
	Status      string         `json:"status"` // set by the server
}

// InspectRequest asks about what stands at CursorPos, in Unicode code points.
type InspectRequest struct {
	Code        string `json:"code"`
	CursorPos   int    `json:"cursor_pos"`
	DetailLevel int    `json:"detail_level"` // 0 or 1
}

// InspectReply holds a MIME bundle. Found false with no data is an answer, not
// an error.
type InspectReply struct {
	Found    bool           `json:"found"`
	Data     map[string]any `json:"data"`
	Metadata map[string]any `json:"metadata"`
	Status   string         `json:"status"` // set by the server
}

// IsCompleteRequest asks whether Enter should run the code.
type IsCompleteRequest struct {
	Code string `json:"code"`
}

// IsCompleteReply's Status is the verdict: complete, incomplete, invalid or
// unknown. Indent counts only with incomplete.
type IsCompleteReply struct {
	Status string
	Indent string
}

// MarshalJSON leaves indent out unless the verdict is incomplete.
func (r IsCompleteReply) MarshalJSON() ([]byte, error) {
	m := map[string]string{"status": r.Status}
	if r.Status == "incomplete" {
		m["indent"] = r.Indent
	}
	return json.Marshal(m)
}

// HistoryRequest asks for earlier cells: HistAccessType is tail (the last N),
// range (Session, Start inclusive, Stop exclusive; session 0 is the current
// one, a negative one counts back) or search (glob Pattern, the last N).
type HistoryRequest struct {
	Output         bool   `json:"output"`
	Raw            bool   `json:"raw"`
	HistAccessType string `json:"hist_access_type"`
	Session        int    `json:"session"`
	Start          int    `json:"start"`
	Stop           int    `json:"stop"`
	N              int    `json:"n"`
	Pattern        string `json:"pattern"`
	Unique         bool   `json:"unique"`
}

// HistoryReply lists cells, oldest first.
type HistoryReply struct {
	History []HistoryEntry `json:"history"`
	Status  string         `json:"status"` // set by the server
}

// HistoryEntry is one cell. It travels as [session, line, input], or as
// [session, line, [input, output]] when the request asked for outputs.
type HistoryEntry struct {
	Session, Line int
	Input         string
	Output        *string // the text result; nil when there is none

	withOutput bool // set by the server when the request has output: true
}

// MarshalJSON writes the tuple.
func (e HistoryEntry) MarshalJSON() ([]byte, error) {
	if e.withOutput {
		return json.Marshal([]any{e.Session, e.Line, []any{e.Input, e.Output}})
	}
	return json.Marshal([]any{e.Session, e.Line, e.Input})
}
