package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/messaging"
)

// newMemFront makes a front whose model answers "A1", "A2", …
func newMemFront(t *testing.T, h *memHost) *memFront {
	t.Helper()
	model := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(model, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if h.limit == 0 {
		h.limit = 1000
	}
	if h.say == nil {
		h.say = func(prompt string) string { return fmt.Sprintf("A%d.", strings.Count(prompt, "<u>")) }
	}
	return &memFront{Front: NewKernel(h, FrontOptions{Version: "0.1.0", Model: model})}
}

func chatHost() *memHost { return &memHost{format: "chatml"} }

func TestConversationGoesOn(t *testing.T) {
	h := chatHost()
	f := newMemFront(t, h)
	f.run("%system Be brief.", "")
	for i := range 3 {
		out, reply := f.run(fmt.Sprintf("Q%d", i+1), "")
		if reply.Status != "ok" || !strings.HasPrefix(out.stdout(), fmt.Sprintf("A%d.\n", i+1)) {
			t.Fatalf("turn %d: %+v %q", i+1, reply, out.stdout())
		}
	}
	want := []string{
		"<s>Be brief.</><u>Q1</><a>",
		"<s>Be brief.</><u>Q1</><a>A1.</><u>Q2</><a>",
		"<s>Be brief.</><u>Q1</><a>A1.</><u>Q2</><a>A2.</><u>Q3</><a>",
	}
	if !slices.Equal(h.prompts, want) {
		t.Errorf("prompts %q", h.prompts)
	}
	// A turn costs its new tokens alone: </><u>Qn</><a>.
	for i, p := range h.params[1:] {
		if fresh := len(p.Rows[0]) - h.reused[i+1]; fresh != 6 {
			t.Errorf("turn %d computes %d tokens", i+2, fresh)
		}
	}
	if got := []uint64{h.params[0].Seeds[0], h.params[1].Seeds[0], h.params[2].Seeds[0]}; !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("seeds %v", got)
	}
}

func TestResetSystemAndRaw(t *testing.T) {
	h := chatHost()
	f := newMemFront(t, h)
	f.run("Q1", "")
	f.run("%complete Once", "")
	f.run("%system S", "")
	f.run("Q2", "")
	f.run("%reset\nQ3", "")
	f.run("%system default\n%reset\nQ4", "")
	want := []string{"<u>Q1</><a>", "Once", "<s>S</><u>Q1</><a>A1.</><u>Q2</><a>", "<s>S</><u>Q3</><a>", "<u>Q4</><a>"}
	if !slices.Equal(h.prompts, want) {
		t.Errorf("prompts %q", h.prompts)
	}
}

func TestRunningACellAgainReplaces(t *testing.T) {
	h := chatHost()
	f := newMemFront(t, h)
	f.run("Q1", "a")
	f.run("Q2", "b")
	f.run("Q3", "c")
	out, _ := f.run("Q2 anew", "b")
	if got := h.prompts[3]; got != "<u>Q1</><a>A1.</><u>Q2 anew</><a>" {
		t.Errorf("prompt %q", got)
	}
	if len(out.displays) != 2 || !strings.Contains(out.displays[1]["text/plain"].(string), "dropped 1 later") {
		t.Errorf("displays %v", out.displays)
	}
	if h.reused[3] != len(memIDs("uQ1eaA1.eu"))+len("Q2") {
		t.Errorf("reused %d", h.reused[3])
	}
}

func TestFullContextDropsOldestTurns(t *testing.T) {
	h := chatHost()
	h.limit = 120
	h.say = func(string) string { return strings.Repeat("x", 20) }
	f := newMemFront(t, h)
	f.run("%system SYS\n%set max_gen_len=20", "")
	dropped := ""
	for i := range 12 {
		out, reply := f.run(fmt.Sprintf("question %d", i), "")
		if reply.Status != "ok" {
			t.Fatalf("turn %d: %+v", i, reply)
		}
		dropped += out.stderr()
		p := h.prompts[len(h.prompts)-1]
		if !strings.HasPrefix(p, "<s>SYS</><u>question ") || !strings.HasSuffix(p, fmt.Sprintf("<u>question %d</><a>", i)) {
			t.Fatalf("turn %d: prompt %q", i, p)
		}
	}
	if !strings.Contains(dropped, "the context of 120 tokens is full: dropped the oldest 2 turns") {
		t.Errorf("said %q", dropped)
	}
	out, reply := f.run(strings.Repeat("long ", 40), "")
	if reply.EName != "RequestError" || !strings.Contains(reply.EValue, "the context holds 120") {
		t.Errorf("too long a prompt: %+v", reply)
	}
	_ = out
	if _, reply := f.run("after", ""); reply.Status != "ok" {
		t.Errorf("the turn after it: %+v", reply)
	}
}

func TestAnswerThatEndsAtALimitSaysSo(t *testing.T) {
	h := chatHost()
	h.say = func(string) string { return strings.Repeat("y", 500) }
	f := newMemFront(t, h)
	out, _ := f.run("%set max_gen_len=8\nQ", "")
	if !strings.Contains(out.stdout(), "yyyyyyyy\n") || !strings.Contains(out.stdout(), "stopped at max_gen_len=8") {
		t.Errorf("got %q", out.stdout())
	}
	out, reply := f.run("%set max_gen_len=500 max_seq_len=40\n%reset\nQ", "")
	if !strings.Contains(out.stdout(), "the context is full") {
		t.Errorf("got %q %+v", out.stdout(), reply)
	}
}

func TestInterruptKeepsThePartialAnswer(t *testing.T) {
	h := chatHost()
	h.block, h.streaming = make(chan struct{}), make(chan struct{}, 1)
	h.say = func(string) string { return "PARTIAL" }
	f := newMemFront(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-h.streaming; cancel() }()
	out, reply := f.runContext(ctx, "Q1", "")
	if reply.EName != "KeyboardInterrupt" || reply.EValue != "stopped after 1 token" || len(reply.Traceback) == 0 {
		t.Errorf("reply %+v", reply)
	}
	if !strings.HasPrefix(out.stdout(), "P\n") {
		t.Errorf("the text so far is gone: %q", out.stdout())
	}
	h.block = nil
	f.run("Q2", "")
	if got := h.prompts[1]; got != "<u>Q1</><a>P</><u>Q2</><a>" {
		t.Errorf("prompt %q", got)
	}
	// Stopped before anything was said: the turn never was.
	done, cancelled := context.WithCancel(t.Context())
	cancelled()
	if _, reply := f.runContext(done, "Q3", ""); reply.EName != "KeyboardInterrupt" {
		t.Errorf("reply %+v", reply)
	}
	f.run("Q4", "")
	if got := h.prompts[len(h.prompts)-1]; got != "<u>Q1</><a>P</><u>Q2</><a>PARTIAL</><u>Q4</><a>" {
		t.Errorf("prompt %q", got)
	}
}

func TestDeadResidentIsReplaced(t *testing.T) {
	h := chatHost()
	h.say = func(p string) string { return fmt.Sprintf("answer number %d", strings.Count(p, "<u>")) }
	f := newMemFront(t, h)
	f.run("Q1", "")
	h.dieAfter = 6
	out, reply := f.run("Q2", "")
	if reply.Status != "ok" || !strings.HasPrefix(out.stdout(), "answer number 2\n") {
		t.Errorf("got %+v, %q", reply, out.stdout())
	}
	if !strings.Contains(out.stderr(), "starting it again") || h.opened != 2 {
		t.Errorf("opened %d times, said %q", h.opened, out.stderr())
	}
	if got := h.prompts[2]; got != "<u>Q1</><a>answer number 1</><u>Q2</><a>answer" {
		t.Errorf("taken up with %q", got)
	}
	f.model.Model.(*memModel).dead = true // between two cells
	if out, reply = f.run("Q3", ""); reply.Status != "ok" || !strings.HasPrefix(out.stdout(), "answer number 3\n") {
		t.Errorf("got %+v, %q", reply, out.stdout())
	}
	if got := h.prompts[len(h.prompts)-1]; got != "<u>Q1</><a>answer number 1</><u>Q2</><a>answer number 2</><u>Q3</><a>" {
		t.Errorf("prompt %q", got)
	}
}

func TestClearLeavesWhatComesAfter(t *testing.T) {
	f := newMemFront(t, chatHost())
	out, reply := f.run("%set temperature=0\n%clear\nQ1", "")
	if text := out.stdout(); reply.Status != "ok" || strings.Contains(text, "temperature") || !strings.Contains(text, "A1.") {
		t.Errorf("got %q, %+v", text, reply)
	}
}

func TestPrecisionOpensTheModelAgain(t *testing.T) {
	h := chatHost()
	f := newMemFront(t, h)
	f.run("Q1", "")
	f.run("%set precision=exact temperature=0", "")
	f.run("Q2", "")
	if h.opened != 2 || h.precision != "exact" || h.prompts[1] != "<u>Q1</><a>A1.</><u>Q2</><a>" {
		t.Errorf("opened %d times, last %s, prompt %q", h.opened, h.precision, h.prompts[1])
	}
	h.refuse = errors.New("no memory")
	if _, reply := f.run("%set precision=fast temperature=1", ""); reply.EValue != "no memory" {
		t.Errorf("got %+v", reply)
	}
	if set := f.settingsNow(); set.precision != "exact" || set.temperature != 0 {
		t.Errorf("settings of a model that did not open: %+v", set)
	}
	if _, reply := f.run("Q3", ""); reply.Status != "ok" {
		t.Errorf("the model before is gone: %+v", reply)
	}
}

func TestAnswersFollowTheModelsAdvice(t *testing.T) {
	h := chatHost()
	cool := 0.25
	h.sampling.Temperature = &cool
	f := newMemFront(t, h)
	f.run("Q1", "") // opens the model
	f.run("%set temperature=1 top_p=0.5\nQ2", "")
	f.run("%set temperature=default\nQ3", "")
	for i, want := range [][2]float64{{0.25, 0.9}, {1, 0.5}, {0.25, 0.5}} {
		if p := h.params[i]; p.Temperature != want[0] || p.TopP != want[1] {
			t.Errorf("answer %d: temperature %v, top_p %v, want %v", i, p.Temperature, p.TopP, want)
		}
	}
	path := filepath.Join(t.TempDir(), "other.gguf")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := f.run("%model "+path, ""); !strings.Contains(out.stdout(), "drawn at temperature 0.25 and top_p 0.9, as its files advise") {
		t.Errorf("said %q", out.stdout())
	}
	if out, _ := f.run("%set temperature", ""); out.stdout() != "temperature=0.25\n" {
		t.Errorf("said %q", out.stdout())
	}
}

func TestQuantizeOpensTheModelAgain(t *testing.T) {
	h := chatHost()
	f := newMemFront(t, h)
	f.run("Q1", "")
	f.run("%set quantize=int8", "")
	if h.opened != 2 || h.quantize != "int8" {
		t.Errorf("opened %d times, last with quantize %q", h.opened, h.quantize)
	}
	if out, _ := f.run("%info", ""); !strings.Contains(out.displays[0]["text/plain"].(string), "Q4_1 in gguf, quantized to int8") {
		t.Errorf("%%info shows %q", out.displays[0]["text/plain"])
	}
	f.run("%set quantize=int8 top_p=0.5", "") // the same again
	if f.run("Q2", ""); h.opened != 2 || h.prompts[1] != "<u>Q1</><a>A1.</><u>Q2</><a>" {
		t.Errorf("opened %d times, prompt %q", h.opened, h.prompts[1])
	}
	h.refuse = requestError("open it without quantize", "quantize is %q, but the checkpoint is quantized already", "int4")
	_, reply := f.run("%set quantize=int4", "")
	if reply.EName != "RequestError" || !strings.Contains(reply.EValue, "quantized already") || !strings.Contains(reply.EValue, "%set quantize=none") {
		t.Errorf("got %+v", reply)
	}
	if set := f.settingsNow(); set.quantize != "int8" {
		t.Errorf("settings of a model that did not open: %+v", set)
	}
}

func TestConversationGoesOnWithAnotherModel(t *testing.T) {
	h := chatHost()
	f := newMemFront(t, h)
	f.run("Q1", "")
	other := filepath.Join(t.TempDir(), "other.gguf")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := f.run("%model "+other+"\nQ2", "")
	if got := h.prompts[1]; got != "<u>Q1</><a>A1.</><u>Q2</><a>" {
		t.Errorf("prompt %q", got)
	}
	if !strings.Contains(out.stdout(), "mem <1>: 1.2 M parameters, 5.2 MB, loaded in") || !strings.Contains(out.stdout(), "the conversation of 1 turn goes on") {
		t.Errorf("said %q", out.stdout())
	}
	if f.currentName() != other {
		t.Errorf("current model %q", f.currentName())
	}
	h.refuse = errors.New("broken")
	f.run("%model "+f.modelName, "")
	if _, reply := f.run("Q3", ""); reply.Status != "ok" {
		t.Errorf("a model that does not open takes the one before away: %+v", reply)
	}
}

func TestModelWithoutChatFormat(t *testing.T) {
	h := &memHost{say: func(string) string { return " upon" }}
	f := newMemFront(t, h)
	first, _ := f.run("Once", "")
	second, _ := f.run("Twice", "")
	if !slices.Equal(h.prompts, []string{"Once", "Twice"}) {
		t.Errorf("prompts %q", h.prompts)
	}
	if !strings.Contains(first.stderr(), "no chat format") || second.stderr() != "" {
		t.Errorf("said %q, then %q", first.stderr(), second.stderr())
	}
}

func TestNotebookRendering(t *testing.T) {
	h := chatHost()
	h.say = func(string) string { return "**bold** " + strings.Repeat("word ", 40) }
	f := newMemFront(t, h)
	out, reply := f.run("Q", "cell-1")
	text := h.say("")
	if len(out.displays) != 2 || out.displays[0]["text/markdown"] != text || out.displays[0]["text/plain"] != text {
		t.Fatalf("displays %v", out.displays)
	}
	if line := out.displays[1]; !strings.HasPrefix(line["text/html"].(string), "<div") || !strings.Contains(line["text/plain"].(string), "prefill 4 tokens at 40.0 tok/s · decode 209 tokens at") {
		t.Errorf("grey line %v", line)
	}
	if out.stdout() != "" || out.updates > 10 {
		t.Errorf("stdout %q, %d updates", out.stdout(), out.updates)
	}
	meta := reply.Metadata["llama_go"].(map[string]any)
	if meta["seed"] != uint64(1) || meta["generated_tokens"] != 209 || meta["finish_reason"] != "stop" {
		t.Errorf("metadata %v", meta)
	}
}

func TestNotebookFilledWithoutAPerson(t *testing.T) {
	f := newMemFront(t, chatHost())
	out := &memOutput{}
	f.execute(t.Context(), &messaging.ExecuteRequest{Code: "Q"}, out)
	if len(out.displays) != 2 || out.displays[0]["text/markdown"] != "A1." || out.stdout() != "" {
		t.Errorf("displays %v, stdout %q", out.displays, out.stdout())
	}
}

func TestMagics(t *testing.T) {
	f := newMemFront(t, chatHost())
	for _, tc := range []struct {
		code           string
		stdout, stderr string // parts
		ename, evalue  string // or an error
		result         string
	}{
		{code: "%version", result: "llama-go 0.1.0 (go"},
		{code: "%tokens a b", result: "3 tokens\n     97  \"a\"\n     32  \" \"\n     98  \"b\""},
		{code: "%tokens", stdout: "the conversation has 0 tokens in 0 turns; the context holds 1000"},
		{code: "%set", stdout: "temperature  = 0.6      a number from 0 to 10"},
		{code: "%set temperature", stdout: "temperature=0.6\n"},
		{code: "%set top_p=0.8", stdout: "top_p=0.8\n"},
		{code: "%set temperature=hot", ename: "SettingError", evalue: "temperature=hot: expected a number"},
		{code: "%system", stdout: "no system message is set"},
		{code: "%system hello, world", stdout: "hello, world"},
		{code: "%system", stdout: "system message: hello, world"},
		{code: "%reset", stdout: "forgot 0 turns"},
		{code: "%reset now", ename: "RequestError", evalue: "takes no argument"},
		{code: "%help", stdout: "%complete TEXT"},
		{code: "%help set", stdout: "temperature: a number"},
		{code: "%help top_p", stdout: "top_p: a number"},
		{code: "%help nosuch", ename: "UnknownMagicError"},
		{code: "%stop", stderr: "nothing is being written"},
		{code: "%complete", ename: "RequestError", evalue: "needs a text"},
		{code: "%modle x", ename: "UnknownMagicError", evalue: "did you mean %model?"},
		{code: "%reset\n%nosuch", ename: "UnknownMagicError", evalue: "there are %model, %set"},
		{code: "%%reset\nx", ename: "UnknownMagicError", evalue: "takes no text from below"},
		{code: "%model /no/such/file", ename: "MissingFileError", evalue: "smollm2"},
		{code: "%model smolm2", ename: "MissingFileError", evalue: "did you mean %model smollm2?"},
		{code: "%model no/such-repo", ename: "MissingFileError", evalue: "%model smollm2 pulls"},
		{code: "%model", stdout: "smollm2"},
	} {
		out, reply := f.run(tc.code, "")
		if tc.ename != "" {
			if reply.Status != "error" || reply.EName != tc.ename || !strings.Contains(reply.EValue, tc.evalue) || len(reply.Traceback) == 0 {
				t.Errorf("%s: got %+v", tc.code, reply)
			}
			if out.stdout() != "" {
				t.Errorf("%s: failed, and wrote %q", tc.code, out.stdout())
			}
			continue
		}
		result := ""
		if len(out.results) == 1 {
			result = out.results[0]["text/plain"].(string)
		}
		if reply.Status != "ok" || !strings.Contains(out.stdout(), tc.stdout) || !strings.Contains(out.stderr(), tc.stderr) || !strings.Contains(result, tc.result) {
			t.Errorf("%s: got %+v, stdout %q, stderr %q, result %q", tc.code, reply, out.stdout(), out.stderr(), result)
		}
	}
}

func TestInfoCard(t *testing.T) {
	f := newMemFront(t, chatHost())
	out, _ := f.run("%info", "")
	if len(out.displays) != 1 {
		t.Fatalf("displays %v", out.displays)
	}
	plain, rich := out.displays[0]["text/plain"].(string), out.displays[0]["text/html"].(string)
	for _, part := range []string{"mem <1>", "1.2 M", "2 layers", "Q4_1 in gguf", "5.2 MB", "exact mode by none"} {
		if !strings.Contains(plain, part) {
			t.Errorf("no %q in %s", part, plain)
		}
	}
	if strings.Contains(rich, "mem <1>") || !strings.Contains(rich, "mem &lt;1&gt;") {
		t.Errorf("names are not escaped: %s", rich)
	}
}

func TestPager(t *testing.T) {
	f := newMemFront(t, chatHost())
	for _, code := range []string{"%set?", "?", "%help?"} {
		out, reply := f.run(code, "")
		if len(reply.Payload) != 1 || reply.Payload[0]["source"] != "page" || out.stdout() != "" {
			t.Errorf("%s: %+v", code, reply)
			continue
		}
		if text := reply.Payload[0]["data"].(map[string]any)["text/plain"].(string); !strings.Contains(text, "%set") {
			t.Errorf("%s: %q", code, text)
		}
	}
}

func TestStops(t *testing.T) {
	f := newMemFront(t, chatHost())
	for code, want := range map[string]bool{
		"%stop": true, "%stop\nnew question": true, "%reset\n%stop": true,
		"stop": false, "%stop?": false, "%%stop": false, "what is %stop": false, "Hi\n%stop": false,
	} {
		if got := f.Stops(code); got != want {
			t.Errorf("%q: got %v", code, got)
		}
	}
	if out, _ := f.run("%stop", ""); !strings.Contains(out.stdout(), "stopped") {
		t.Errorf("got %q", out.stdout())
	}
	if out, _ := f.run("%stop", ""); !strings.Contains(out.stderr(), "nothing") {
		t.Errorf("got %q", out.stderr())
	}
}

func TestUserExpressions(t *testing.T) {
	f := newMemFront(t, chatHost())
	reply := f.execute(t.Context(), &messaging.ExecuteRequest{UserExpressions: map[string]string{"a": "top_p", "b": "nope"}}, &memOutput{})
	a, b := reply.UserExpressions["a"].(map[string]any), reply.UserExpressions["b"].(map[string]any)
	if a["status"] != "ok" || b["status"] != "error" || b["ename"] == "" {
		t.Errorf("got %v, %v", a, b)
	}
}

func TestHistoryOfCells(t *testing.T) {
	f := newMemFront(t, chatHost())
	f.run("Q1", "")
	f.run("%version", "")
	f.execute(t.Context(), &messaging.ExecuteRequest{Code: "%set", Silent: true}, &memOutput{})
	got := f.History(t.Context(), messaging.HistoryRequest{HistAccessType: "tail", N: 10}).History
	if len(got) != 2 || got[0].Input != "Q1" || *got[0].Output != "A1." || got[1].Line != 2 {
		t.Errorf("got %+v", got)
	}
}
