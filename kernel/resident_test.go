package kernel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
)

// collect gathers streamed chunks into rows.
type collect struct {
	mu     sync.Mutex
	ids    map[int][]int32
	text   map[int]string
	finish map[int]engine.FinishReason
	first  chan struct{} // closed at the first token
	count  int           // progress messages
}

func newCollect() *collect {
	return &collect{ids: map[int][]int32{}, text: map[int]string{}, finish: map[int]engine.FinishReason{}, first: make(chan struct{})}
}

func (c *collect) take(p rpc.GenerateProgress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	for _, ch := range p.Chunks {
		if len(c.ids) == 0 && len(ch.IDs) > 0 {
			close(c.first)
		}
		if len(ch.IDs) > 0 {
			c.ids[ch.Row] = append(c.ids[ch.Row], ch.IDs...)
		}
		c.text[ch.Row] += ch.Text
		if ch.Finish != "" {
			c.finish[ch.Row] = ch.Finish
		}
	}
}

func TestResidentServesAModel(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{})
	h := connectTo(t, file, "one")
	path := tinyModel(t)
	m := openTiny(t, h, path)
	info := m.Info()
	if info.Info.Resident || info.Info.Parameters != 260*32*2+2*(32*32*2+2*16*32+3*32*64+2*32)+32 || info.Info.Tokenizer == nil ||
		info.Info.Bytes != info.Info.Parameters*4 || info.Info.Format != "safetensors" || info.Config.VocabSize != 260 {
		t.Errorf("info is %+v", info)
	}
	ids, err := m.Tokenize(t.Context(), rpc.TokenizeParams{Text: "Hi ä<|im_end|>", BOS: true, AllowedSpecial: []string{"<|im_end|>"}})
	if want := []int32{256, 'H', 'i', ' ', 0xc3, 0xa4, 259}; err != nil || !reflect.DeepEqual(ids, want) {
		t.Errorf("got %v %v, want %v", ids, err, want)
	}
	plain, err := m.Tokenize(t.Context(), rpc.TokenizeParams{Text: "<|im_end|>"})
	if err != nil || len(plain) != len("<|im_end|>") {
		t.Errorf("special text is not ordinary text: %v %v", plain, err)
	}
	text, err := m.Detokenize(t.Context(), rpc.DetokenizeParams{IDs: ids[1:6]})
	if err != nil || text.Text != "Hi ä" {
		t.Errorf("got %q %v", text.Text, err)
	}

	s := openSession(t, m, 2, 128)
	c := newCollect()
	req := rpc.GenerateParams{Rows: [][]int32{ids, {256, 'x'}}, MaxGenLen: 40, Temperature: 0.8, TopP: 0.9, Seeds: []uint64{1, 2}, LogProbs: true, Text: true, IgnoreEOS: true}
	res, err := s.Generate(t.Context(), req, c.take)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range res.Rows {
		if len(row.IDs) != 40 || len(row.LogProbs) != 40 || row.Finish != engine.FinishLength {
			t.Errorf("row %d: %+v", i, row)
		}
		if !reflect.DeepEqual(c.ids[i], row.IDs) || c.text[i] != row.Text || c.finish[i] != row.Finish {
			t.Errorf("row %d: the stream %v %q %v differs from the result %v %q %v", i, c.ids[i], c.text[i], c.finish[i], row.IDs, row.Text, row.Finish)
		}
		whole, err := m.Detokenize(t.Context(), rpc.DetokenizeParams{IDs: row.IDs})
		if err != nil || whole.Text != row.Text {
			t.Errorf("row %d: pieces give %q, the whole %q (%v)", i, row.Text, whole.Text, err)
		}
	}
	// The same request has the same answer, also in process.
	again, err := s.Generate(t.Context(), req, nil)
	if err != nil || !reflect.DeepEqual(again.Rows[1].IDs, res.Rows[1].IDs) {
		t.Errorf("again: %v %v, want %v", again.Rows[1].IDs, err, res.Rows[1].IDs)
	}
	local := NewLocalHost(LocalOptions{Open: slowly(0, nil)})
	defer local.Close()
	ls := openSession(t, openTiny(t, local, path), 2, 128)
	lres, err := ls.Generate(t.Context(), req, nil)
	if err != nil || !reflect.DeepEqual(lres.Rows[0].IDs, res.Rows[0].IDs) {
		t.Errorf("in process: %v %v, want %v", lres.Rows, err, res.Rows[0].IDs)
	}
}

func TestTwoOpenOneModel(t *testing.T) {
	noLeak(t)
	var opened atomic.Int64
	file, _ := testResident(t, ServeOptions{Open: slowly(0, &opened)})
	path := tinyModel(t)
	const n = 6
	hosts := make([]*remoteHost, n)
	for i := range hosts {
		hosts[i] = connectTo(t, file, "c")
	}
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := h.Open(t.Context(), rpc.OpenParams{Path: path, Precision: "exact"}, nil); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	ps := psOf(t, hosts[0])
	if opened.Load() != 1 || len(ps.Models) != 1 || ps.Models[0].Clients != n || len(ps.Clients) != n {
		t.Errorf("%d loads, ps %+v", opened.Load(), ps)
	}
	// Another precision is another model; the same files through a link are not.
	if _, err := hosts[0].Open(t.Context(), rpc.OpenParams{Path: path, Precision: "fast"}, nil); err != nil {
		t.Error(err)
	}
	if opened.Load() != 2 {
		t.Errorf("%d loads", opened.Load())
	}
	for _, h := range hosts {
		h.Close()
	}
	// They stay when nobody holds them, and are there at once.
	h := connectTo(t, file, "later")
	m := openTiny(t, h, path)
	if !m.Info().Info.Resident || opened.Load() != 2 {
		t.Errorf("resident %v, %d loads", m.Info().Info.Resident, opened.Load())
	}
}

// TestQuantizedModelsAreModelsOfTheirOwn: the same files in each quantization are
// shared apart, say what they are and take less.
func TestQuantizedModelsAreModelsOfTheirOwn(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{})
	h := connectTo(t, file, "c")
	path := tinyModel(t)
	var sizes []int64
	var first []int32
	for _, q := range []string{"", "int8", "int4", "int8"} {
		m, err := h.Open(t.Context(), rpc.OpenParams{Path: path, Quantize: q, Precision: "exact"}, nil)
		if err != nil {
			t.Fatalf("%q: %v", q, err)
		}
		info := m.Info().Info
		if info.Quantize != q || info.DType != "float32" || info.Resident != (len(sizes) == 3) {
			t.Errorf("%q: %+v", q, info)
		}
		sizes = append(sizes, info.Bytes)
		s := openSession(t, m, 1, 32)
		res, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256, 'a', 'b'}}, MaxGenLen: 8, IgnoreEOS: true}, nil)
		if err != nil || len(res.Rows[0].IDs) != 8 {
			t.Fatalf("%q: %v, %v", q, res.Rows, err)
		}
		if q == "int8" {
			if first != nil && !slices.Equal(first, res.Rows[0].IDs) {
				t.Errorf("int8 gave %v, then %v", first, res.Rows[0].IDs)
			}
			first = res.Rows[0].IDs
		}
	}
	if sizes[1] > sizes[0]*3/4 || sizes[2] >= sizes[1] || sizes[3] != sizes[1] {
		t.Errorf("as stored, int8, int4 and int8 again take %v bytes", sizes)
	}
	var listed []string
	for _, m := range psOf(t, h).Models {
		listed = append(listed, m.Quantize)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, []string{"", "int4", "int8"}) {
		t.Errorf("ps lists %q", listed)
	}
}

func TestLoadErrors(t *testing.T) {
	file, _ := testResident(t, ServeOptions{})
	h := connectTo(t, file, "c")
	path := tinyModel(t)
	broken := tinyModel(t)
	if err := os.Truncate(filepath.Join(broken, "model.safetensors"), 3000); err != nil {
		t.Fatal(err)
	}
	noTok := tinyModel(t)
	if err := os.Remove(filepath.Join(noTok, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		p    rpc.OpenParams
		kind rpc.Kind
		want string
	}{
		{"absent", rpc.OpenParams{Path: filepath.Join(path, "x")}, rpc.KindMissingFile, "does not exist"},
		{"relative", rpc.OpenParams{Path: "x"}, rpc.KindRequest, "absolute path"},
		{"broken", rpc.OpenParams{Path: broken}, rpc.KindCheckpoint, "model.safetensors"},
		{"tokenizer absent", rpc.OpenParams{Path: path, TokenizerPath: filepath.Join(path, "t.model")}, rpc.KindMissingFile, "Tokenizer file '" + path + "/t.model' does not exist."},
		{"tokenizer wanted", rpc.OpenParams{Path: noTok, NeedTokenizer: true}, rpc.KindMissingFile, "no tokenizer found"},
		{"length", rpc.OpenParams{Path: path, MaxSeqLen: 4097}, rpc.KindRequest, "max_seq_len must be between 1 and 4096, got 4097."},
		{"batch", rpc.OpenParams{Path: path, MaxBatchSize: -1}, rpc.KindRequest, "max_batch_size"},
		{"precision", rpc.OpenParams{Path: path, Precision: "half"}, rpc.KindRequest, `"half"`},
		{"dtype", rpc.OpenParams{Path: path, DType: "float16"}, rpc.KindRequest, "float16"},
		{"quantize", rpc.OpenParams{Path: path, Quantize: "int5"}, rpc.KindRequest, `quantize is "int5", expected "int8" or "int4"`},
		{"threads", rpc.OpenParams{Path: path, Threads: -1}, rpc.KindRequest, "threads"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := h.Open(t.Context(), tc.p, nil)
			if kindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %s %v, want %s %q", kindOf(err), err, tc.kind, tc.want)
			}
		})
	}
	ps := psOf(t, h)
	if len(ps.Clients[0].Models) != 0 {
		t.Errorf("failed opens left handles: %+v", ps)
	}
	openTiny(t, h, path) // it serves on
}

// TestWritingIntoAnOpenModelFailsTheNextRequest: of the handles on what was
// written over; the files opened anew are another model.
func TestWritingIntoAnOpenModelFailsTheNextRequest(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{})
	h := connectTo(t, file, "c")
	path := tinyModel(t)
	stored := filepath.Join(path, "model.safetensors")
	generate := func(m Model) error {
		s := openSession(t, m, 1, 16)
		defer s.Close()
		_, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256, 'a'}}, MaxGenLen: 2}, nil)
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		if kindOf(err) != rpc.KindCheckpoint || !strings.Contains(err.Error(), "was written at") || !strings.Contains(err.(*rpc.Error).Data.Hint, "open the model again") {
			t.Errorf("%s: %s %v", what, kindOf(err), err)
		}
	}
	old := openTiny(t, h, path)
	if err := generate(old); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-2] ^= 1
	if err := os.WriteFile(stored, data, 0o600); err != nil { // into the same file
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute) // clocks of file systems may be coarse
	if err := os.Chtimes(stored, later, later); err != nil {
		t.Fatal(err)
	}
	refused("generate", generate(old))
	r := rpc.ReadParams{Model: old.Info().Model, Key: "model.norm.weight", Bytes: 4}
	_, err = ask[rpc.ReadResult](t.Context(), h.link, rpc.MethodStateRead, r)
	refused("state.read", err)
	anew := openTiny(t, h, path)
	if err := generate(anew); err != nil || anew.Info().Info.Resident {
		t.Errorf("opened again: %v, it was there already: %v", err, anew.Info().Info.Resident)
	}
	whole := openTiny(t, h, tinyModel(t)) // another file, which is cut
	cut := filepath.Join(whole.Info().Info.Path, "model.safetensors")
	if err := os.Truncate(cut, 100); err != nil {
		t.Fatal(err)
	}
	refused("generate, cut", generate(whole))
	if err := os.WriteFile(cut, data, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("generate, cut and written anew", generate(whole))
	if err := generate(openTiny(t, h, filepath.Dir(cut))); err != nil {
		t.Errorf("opened again after the repair: %v", err)
	}
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	if err := generate(anew); err != nil {
		t.Errorf("the file is unlinked, the mapping holds it: %v", err)
	}
	refused("generate, unlinked afterwards", generate(old))
}

func TestGenerateChecksItsParams(t *testing.T) {
	file, _ := testResident(t, ServeOptions{})
	h := connectTo(t, file, "c")
	s := openSession(t, openTiny(t, h, tinyModel(t)), 2, 16)
	good := [][]int32{{256, 1}}
	for _, tc := range []struct {
		name string
		p    rpc.GenerateParams
		kind rpc.Kind
		want string
	}{
		{"no rows", rpc.GenerateParams{}, rpc.KindRequest, "batch is empty"},
		{"empty row", rpc.GenerateParams{Rows: [][]int32{{1}, {}}}, rpc.KindRequest, "row 1 is empty"},
		{"rows", rpc.GenerateParams{Rows: [][]int32{{1}, {1}, {1}}}, rpc.KindRequest, "3 rows, max_batch_size is 2"},
		{"long row", rpc.GenerateParams{Rows: [][]int32{make([]int32, 17)}}, rpc.KindRequest, "17 tokens, max_seq_len is 16"},
		{"id", rpc.GenerateParams{Rows: [][]int32{{260}}}, rpc.KindTokenIndex, "index out of range in self"},
		{"negative id", rpc.GenerateParams{Rows: [][]int32{{-1}}}, rpc.KindTokenIndex, "index out of range in self"},
		{"temperature", rpc.GenerateParams{Rows: good, Temperature: -0.1}, rpc.KindRequest, "temperature is -0.1"},
		{"top_p", rpc.GenerateParams{Rows: good, TopP: -1}, rpc.KindRequest, "top_p is -1"},
		{"max_gen_len", rpc.GenerateParams{Rows: good, MaxGenLen: -1}, rpc.KindRequest, "max_gen_len is -1"},
		{"seeds", rpc.GenerateParams{Rows: good, Seeds: []uint64{1, 2}}, rpc.KindRequest, "2 seeds for 1 rows"},
		{"top_logprobs", rpc.GenerateParams{Rows: good, TopLogProbs: 261}, rpc.KindRequest, "top_logprobs is 261"},
		{"stop ids", rpc.GenerateParams{Rows: good, StopIDs: []int32{260}}, rpc.KindTokenIndex, "index out of range"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := s.Generate(t.Context(), tc.p, nil)
			if kindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %s %v, want %s %q", kindOf(err), err, tc.kind, tc.want)
			}
		})
	}
	r, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: good, IgnoreEOS: true}, nil)
	if err != nil || len(r.Rows[0].IDs) != 14 {
		t.Errorf("max_gen_len 0 fills the context: got %d tokens, %v", len(r.Rows[0].IDs), err)
	}
}

func TestInterruptReturnsWhatThereIs(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{Open: slowly(3*time.Millisecond, nil)})
	h := connectTo(t, file, "c")
	s := openSession(t, openTiny(t, h, tinyModel(t)), 1, 4096)
	req := rpc.GenerateParams{Rows: [][]int32{{256, 'a'}}, MaxGenLen: 4000, IgnoreEOS: true, Text: true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := newCollect()
	go func() {
		<-c.first
		time.Sleep(50 * time.Millisecond)
		cancel()
	}()
	start := time.Now()
	res, err := s.Generate(ctx, req, c.take)
	if err != nil {
		t.Fatal(err)
	}
	row := res.Rows[0]
	if row.Finish != engine.FinishInterrupted || len(row.IDs) == 0 || len(row.IDs) > 200 || time.Since(start) > 2*time.Second {
		t.Errorf("%s after %v with %d tokens", row.Finish, time.Since(start), len(row.IDs))
	}
	if !reflect.DeepEqual(c.ids[0], row.IDs) || c.finish[0] != engine.FinishInterrupted {
		t.Errorf("the stream has %v, the result %v", c.ids[0], row.IDs)
	}
	// Progress is coalesced: far fewer messages than tokens in that time.
	if c.count > 2+int(time.Since(start)/progressEvery)+1 {
		t.Errorf("%d progress messages in %v", c.count, time.Since(start))
	}
	done, stop := context.WithCancel(t.Context())
	stop()
	if res, err := s.Generate(done, req, nil); err != nil || res.Rows[0].Finish != engine.FinishInterrupted {
		t.Errorf("a context that is over: %+v %v", res, err)
	}
	req.MaxGenLen = 3
	if res, err := s.Generate(t.Context(), req, nil); err != nil || len(res.Rows[0].IDs) != 3 {
		t.Errorf("the next call: %+v %v", res, err)
	}
}

func TestSessionCloseInterrupts(t *testing.T) {
	file, _ := testResident(t, ServeOptions{Open: slowly(3*time.Millisecond, nil)})
	h := connectTo(t, file, "c")
	s := openSession(t, openTiny(t, h, tinyModel(t)), 1, 4096)
	c := newCollect()
	result := make(chan rpc.GenerateResult, 1)
	go func() {
		r, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256}}, MaxGenLen: 4000, IgnoreEOS: true}, c.take)
		if err != nil {
			t.Error(err)
		}
		result <- r
	}()
	<-c.first
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := <-result; r.Rows[0].Finish != engine.FinishInterrupted {
		t.Errorf("finish %q", r.Rows[0].Finish)
	}
	if _, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256}}}, nil); kindOf(err) != rpc.KindRequest {
		t.Errorf("a closed session: %v", err)
	}
}

func TestTwoClientsTakeTurns(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{Open: slowly(2*time.Millisecond, nil)})
	path := tinyModel(t)
	var mu sync.Mutex
	var order []byte // whose progress came
	var wg sync.WaitGroup
	for _, who := range []byte("ab") {
		s := openSession(t, openTiny(t, connectTo(t, file, string(who)), path), 1, 512)
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256, 'x'}}, MaxGenLen: 150, IgnoreEOS: true}, func(p rpc.GenerateProgress) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, who)
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	changes := 0
	for i := 1; i < len(order); i++ {
		if order[i] != order[i-1] {
			changes++
		}
	}
	if changes < 4 {
		t.Errorf("the two did not take turns: %s", order)
	}
}

func TestLeaseEndsTheWorkOfAGoneClient(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{Open: slowly(3*time.Millisecond, nil), Lease: 300 * time.Millisecond})
	path := tinyModel(t)
	watcher := connectTo(t, file, "watcher")
	h := connectTo(t, file, "gone")
	s := openSession(t, openTiny(t, h, path), 1, 4096)
	c := newCollect()
	failed := make(chan error, 1)
	go func() {
		_, err := s.Generate(context.Background(), rpc.GenerateParams{Rows: [][]int32{{256}}, MaxGenLen: 4000, IgnoreEOS: true}, c.take)
		failed <- err
	}()
	<-c.first
	// Cut without comm_close, as a killed process does, and do not come back.
	h.link.mu.Lock()
	h.link.closed = true
	conn := h.link.conn
	h.link.mu.Unlock()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	if kind := kindOf(<-failed); kind != rpc.KindKernelGone {
		t.Errorf("the cut call: %s", kind)
	}
	eventually(t, "the cut is seen", func() bool {
		for _, c := range psOf(t, watcher).Clients {
			if c.Name == "gone" && !c.Connected {
				return true
			}
		}
		return false
	})
	if ps := psOf(t, watcher); ps.Models[0].Active != 1 && time.Since(cut) < 250*time.Millisecond {
		t.Errorf("its work ended before the lease: %+v", ps)
	}
	eventually(t, "the lease frees its work", func() bool {
		ps := psOf(t, watcher)
		return len(ps.Clients) == 1 && ps.Models[0].Active == 0 && ps.Models[0].Sessions == 0 && ps.Models[0].KVBytes == 0
	})
	if d := time.Since(cut); d < 300*time.Millisecond {
		t.Errorf("the lease of 300 ms ended after %v", d)
	}
	st, err := watcher.Stats(t.Context())
	if err != nil || st.ActiveRequests != 0 {
		t.Errorf("stats %+v %v", st, err)
	}
}

func TestCutConnectionLosesNothing(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{Open: slowly(2*time.Millisecond, nil)})
	path := tinyModel(t)
	h := connectTo(t, file, "c")
	m := openTiny(t, h, path)
	s := openSession(t, m, 1, 512)
	c := newCollect()
	type outcome struct {
		r   rpc.GenerateResult
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256, 'q'}}, MaxGenLen: 100, IgnoreEOS: true}, c.take)
		done <- outcome{r, err}
	}()
	<-c.first
	if err := h.link.current().Close(); err != nil { // the connection, not the comm
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil || len(o.r.Rows[0].IDs) != 100 {
		t.Fatalf("after the cut: %d tokens, %v", len(o.r.Rows[0].IDs), o.err)
	}
	if _, err := m.Tokenize(t.Context(), rpc.TokenizeParams{Text: "x"}); err != nil {
		t.Errorf("the handle after the cut: %v", err)
	}
}

func TestShutdownIsRefusedWhileOthersAreAttached(t *testing.T) {
	noLeak(t)
	file, ended := testResident(t, ServeOptions{})
	h := connectTo(t, file, "other")
	m := openTiny(t, h, tinyModel(t))
	rec, err := readRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := shutdownVia(ctx, file, false); kindOf(err) != rpc.KindBusy {
		t.Fatalf("got %v", err)
	}
	if err := shutdownVia(ctx, file, true); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the connection file is still there: %v", err)
	}
	left, err := filepath.Glob(rec.IP + "-*")
	if err != nil || len(left) != 0 {
		t.Errorf("sockets left behind: %v %v", left, err)
	}
	// In this process the pid lives on, so the link tries again for a while.
	_, err = m.Tokenize(ctx, rpc.TokenizeParams{Text: "x"})
	if kindOf(err) != rpc.KindKernelGone {
		t.Errorf("a handle of the dead resident: %v", err)
	}
}

func TestCommCloseFreesAtOnce(t *testing.T) {
	file, _ := testResident(t, ServeOptions{})
	watcher := connectTo(t, file, "watcher")
	h := connectTo(t, file, "c")
	openSession(t, openTiny(t, h, tinyModel(t)), 1, 64)
	h.Close()
	eventually(t, "the client is gone", func() bool { return len(psOf(t, watcher).Clients) == 1 })
	if ps := psOf(t, watcher); ps.Models[0].Clients != 0 || ps.Models[0].Sessions != 0 {
		t.Errorf("ps %+v", ps)
	}
}

func TestIdleResidentEnds(t *testing.T) {
	noLeak(t)
	file, ended := testResident(t, ServeOptions{Idle: 150 * time.Millisecond})
	h := connectTo(t, file, "c")
	select {
	case err := <-ended:
		t.Fatalf("it ended with a client attached: %v", err)
	case <-time.After(400 * time.Millisecond):
	}
	h.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it did not end")
	}
}

func TestForeignCommIsIgnored(t *testing.T) {
	file, _ := testResident(t, ServeOptions{})
	h := connectTo(t, file, "owner")
	rec, err := readRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := messaging.Dial(t.Context(), rec.ConnInfo, messaging.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	id := int64(1)
	msg := &rpc.Message{JSONRPC: "2.0", ID: &id, Method: rpc.MethodShutdown, Params: []byte(`{"force":true}`)}
	if err := (clientConn{stranger, h.link.commID}).Send(false, msg, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := h.Stats(t.Context()); err != nil {
		t.Errorf("a stranger's message on this comm was obeyed: %v", err)
	}
}

func TestVersionMismatch(t *testing.T) {
	file, _ := testResident(t, ServeOptions{})
	rec, err := readRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := messaging.Dial(t.Context(), rec.ConnInfo, messaging.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Subscribe(t.Context(), "comm-x"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(messaging.Shell, "comm_open", commContent{"x", rpc.Target, map[string]any{"protocol": 0}}, nil); err != nil {
		t.Fatal(err)
	}
	l := &link{commID: "x"}
	refused := false
	for in := range c.Messages() {
		m, closed := l.ours(in)
		if closed {
			break
		}
		if m != nil && strings.Contains(string(m.Data), rpc.MethodRefused) && strings.Contains(string(m.Data), "pip install -U llama-go") {
			refused = true
		}
	}
	if !refused {
		t.Error("the comm was closed without the reason")
	}
}

func TestSmolLM2AttachesInMilliseconds(t *testing.T) {
	path := testdata.SmolLM2(t)
	file, _ := testResident(t, ServeOptions{})
	first := connectTo(t, file, "first")
	start := time.Now()
	openTiny(t, first, path)
	t.Logf("loaded in %v", time.Since(start))
	start = time.Now()
	second := connectTo(t, file, "second")
	m := openTiny(t, second, path)
	d := time.Since(start)
	t.Logf("a second client attached in %v", d)
	if !m.Info().Info.Resident || d > 200*time.Millisecond {
		t.Errorf("resident %v after %v", m.Info().Info.Resident, d)
	}
}

// TestClientAfterItsLease comes back too late: the resident lives, but has freed
// what the client held and ignores its comm.
func TestClientAfterItsLease(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{Lease: 100 * time.Millisecond})
	watcher := connectTo(t, file, "watcher")
	h := connectTo(t, file, "late")
	path := tinyModel(t)
	m := openTiny(t, h, path)
	shell := fmt.Sprintf("%s-%d", h.link.rec.IP, h.link.rec.ShellPort)
	if err := os.Rename(shell, shell+".away"); err != nil { // so that it cannot come back
		t.Fatal(err)
	}
	if err := h.link.current().Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lease ends", func() bool { return len(psOf(t, watcher).Clients) == 1 })
	if err := os.Rename(shell+".away", shell); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Tokenize(t.Context(), rpc.TokenizeParams{Text: "x"}); kindOf(err) != rpc.KindKernelGone {
		t.Errorf("got %v", err)
	}
	openTiny(t, h, path) // the next open works
}

func TestClientsComeAndGo(t *testing.T) {
	noLeak(t)
	file, _ := testResident(t, ServeOptions{})
	watcher := connectTo(t, file, "watcher")
	path := tinyModel(t)
	round := func() {
		h := connectTo(t, file, "c")
		s := openSession(t, openTiny(t, h, path), 1, 64)
		if _, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{1}}, MaxGenLen: 2}, nil); err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	fds := func() int {
		eventually(t, "the last one is gone", func() bool { return len(psOf(t, watcher).Clients) == 1 })
		time.Sleep(50 * time.Millisecond) // its sockets
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(open)
	}
	round()
	before := fds()
	for range 20 {
		round()
	}
	if after := fds(); after > before+1 {
		t.Errorf("%d open files before 20 clients, %d after", before, after)
	}
}
