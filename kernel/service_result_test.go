package kernel

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

func floatsOf(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// attached collects what a reduce attaches.
func attached(bufs *[][]byte) attach {
	return func(dtype string, shape []int, data []byte) rpc.Tensor {
		*bufs = append(*bufs, data)
		return rpc.Describe(len(*bufs)-1, dtype, shape, data)
	}
}

func TestResults(t *testing.T) {
	c := testClient(t)
	m := newTransformer(t, c, tinyConfig(), "float32")
	s, err := c.openSession(rpc.SessionParams{Model: m, MaxBatchSize: 2, MaxSeqLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]int32{{1, 2, 3}, {4, 5, 6}}
	r, err := c.forward(context.Background(), rpc.ForwardParams{Session: s.Session, Tokens: rows})
	if err != nil || !slices.Equal(r.Shape, []int{2, 3, 260}) {
		t.Fatalf("got %+v %v", r, err)
	}
	if got := c.svc.stats().ResultBytes; got != 2*3*260*4 {
		t.Errorf("results count %d bytes", got)
	}
	all, err := c.readResult(rpc.ResultReadParams{Result: r.Result, Count: 2 * 3 * 260})
	if err != nil {
		t.Fatal(err)
	}
	values := floatsOf(all)
	part, err := c.readResult(rpc.ResultReadParams{Result: r.Result, Offset: 260, Count: 10})
	if err != nil || !slices.Equal(floatsOf(part), values[260:270]) {
		t.Errorf("a slice differs: %v", err)
	}
	last, err := c.forward(context.Background(), rpc.ForwardParams{Session: s.Session, Tokens: rows, Keep: []int{2}})
	if err != nil || !slices.Equal(last.Shape, []int{2, 1, 260}) {
		t.Fatalf("got %+v %v", last, err)
	}
	kept, err := c.readResult(rpc.ResultReadParams{Result: last.Result, Offset: 260, Count: 260})
	if err != nil || !slices.Equal(floatsOf(kept), values[5*260:]) {
		t.Errorf("the kept position differs: %v", err)
	}

	const k = 7
	var bufs [][]byte
	_, err = c.reduceResult(rpc.ReduceParams{Result: r.Result, First: 1, Count: 4, Op: "topk", K: k}, attached(&bufs))
	if err != nil {
		t.Fatal(err)
	}
	var argmaxes [][]byte
	if _, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, First: 1, Count: 4, Op: "argmax"}, attached(&argmaxes)); err != nil {
		t.Fatal(err)
	}
	ids := []int32{0, 100, 259, 5}
	var logs [][]byte
	if _, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, First: 1, Count: 4, Op: "log_softmax_of", IDs: ids}, attached(&logs)); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		row := values[(1+i)*260 : (2+i)*260]
		order := make([]int32, 260)
		for j := range order {
			order[j] = int32(j)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(row[b], row[a]) })
		sum := 0.0
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		for j := range k {
			if got := int32(binary.LittleEndian.Uint32(bufs[1][4*(i*k+j):])); got != order[j] {
				t.Errorf("position %d: top %d is %d, expected %d", i, j, got, order[j])
			}
			if got := floatsOf(bufs[0])[i*k+j]; got != row[order[j]] {
				t.Errorf("position %d: value %d is %v, expected %v", i, j, got, row[order[j]])
			}
		}
		if got := int32(binary.LittleEndian.Uint32(argmaxes[0][4*i:])); got != order[0] {
			t.Errorf("position %d: argmax %d, expected %d", i, got, order[0])
		}
		if got, want := float64(floatsOf(logs[0])[i]), float64(row[ids[i]])-math.Log(sum); math.Abs(got-want) > 1e-5 {
			t.Errorf("position %d: log-softmax %v, expected %v", i, got, want)
		}
	}

	for name, f := range map[string]func() error{
		"read past": func() error {
			_, err := c.readResult(rpc.ResultReadParams{Result: r.Result, Offset: 1559, Count: 2})
			return err
		},
		"read negative": func() error {
			_, err := c.readResult(rpc.ResultReadParams{Result: r.Result, Offset: -1, Count: 2})
			return err
		},
		"read none": func() error { _, err := c.readResult(rpc.ResultReadParams{Result: r.Result}); return err },
		"read much": func() error {
			_, err := c.readResult(rpc.ResultReadParams{Result: r.Result, Count: 1 << 40})
			return err
		},
		"read unknown": func() error { _, err := c.readResult(rpc.ResultReadParams{Result: "r99", Count: 1}); return err },
		"reduce past": func() error {
			_, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, First: 6, Count: 1, Op: "argmax"}, nil)
			return err
		},
		"reduce op": func() error {
			_, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, Count: 1, Op: "sum"}, nil)
			return err
		},
		"topk 0": func() error {
			_, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, Count: 1, Op: "topk"}, nil)
			return err
		},
		"topk too large": func() error {
			_, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, Count: 1, Op: "topk", K: 261}, nil)
			return err
		},
		"ids": func() error {
			_, err := c.reduceResult(rpc.ReduceParams{Result: r.Result, Count: 2, Op: "log_softmax_of", IDs: []int32{1}}, nil)
			return err
		},
		"ragged": func() error {
			_, err := c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1, 2}, {3}}})
			return err
		},
		"too far": func() error {
			_, err := c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1, 2}}, StartPos: 15})
			return err
		},
		"keep": func() error {
			_, err := c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1, 2}}, Keep: []int{2}})
			return err
		},
		"keep none": func() error {
			_, err := c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1, 2}}, Keep: []int{}})
			return err
		},
	} {
		if err := f(); kindOf(mapError(err)) != rpc.KindRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1, 2}, {3}}})
	if err == nil || err.Error() != "expected sequence of length 2 at dim 1 (got 1) (pad the rows to one length)" {
		t.Errorf("ragged rows: %v", err)
	}
	_, err = c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1, 260}}})
	if e := mapError(err); kindOf(e) != rpc.KindTokenIndex || e.Message != "index out of range in self" {
		t.Errorf("id outside the vocabulary: %v", err)
	}
	for _, id := range []string{r.Result, last.Result} {
		if err := c.freeResult(rpc.ResultRef{Result: id}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.svc.stats().ResultBytes; got != 0 {
		t.Errorf("freed results count %d bytes", got)
	}
}

func TestTopKOfTies(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		row := make([]float32, 1+rnd.IntN(50))
		for i := range row {
			row[i] = float32(rnd.IntN(5))
		}
		order := make([]int32, len(row))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(row[b], row[a]) })
		k := 1 + rnd.IntN(len(row))
		_, ids := topK(row, k, nil, nil)
		if !slices.Equal(ids, order[:k]) || argmax(row) != order[0] {
			t.Fatalf("%v: got %v, want %v", row, ids, order[:k])
		}
	}
}

func TestWeightsAreMadeAtFirstUse(t *testing.T) {
	c := testClient(t)
	m := newTransformer(t, c, tinyConfig(), "float16")
	s, err := c.openSession(rpc.SessionParams{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.model(m)
	if err != nil {
		t.Fatal(err)
	}
	if h.inst.loadedEngine() != nil || c.svc.ps().Models[0].Bytes != 0 {
		t.Error("weights were made before they were used")
	}
	a, err := c.generate(t.Context(), rpc.GenerateParams{Session: s.Session, Rows: [][]int32{{1}}, MaxGenLen: 5, IgnoreEOS: true}, nil)
	if err != nil || len(a.Rows[0].IDs) != 5 {
		t.Fatalf("%+v %v", a, err)
	}
	if h.inst.loadedEngine() == nil || c.svc.ps().Models[0].Bytes == 0 {
		t.Error("no engine after use")
	}
	other, err := c.newModel(rpc.NewParams{Config: tinyConfig(), DType: "float16", Precision: "exact", Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(logitsOf(t, c, m, []int32{1}), logitsOf(t, c, other.Model, []int32{1})) {
		t.Error("two seeds give the same weights")
	}
}

func TestNewModelChecksItsConfig(t *testing.T) {
	c := testClient(t)
	for name, change := range map[string]func(*rpc.NewParams){
		"heads":     func(p *rpc.NewParams) { p.Config.NumAttentionHeads = 0 },
		"kv heads":  func(p *rpc.NewParams) { p.Config.NumKeyValueHeads = 3 },
		"dtype":     func(p *rpc.NewParams) { p.DType = "int8" },
		"precision": func(p *rpc.NewParams) { p.Precision = "x" },
		"length":    func(p *rpc.NewParams) { p.MaxSeqLen = 4097 },
	} {
		p := rpc.NewParams{Config: tinyConfig(), DType: "float32", Precision: "exact"}
		change(&p)
		if _, err := c.newModel(p); err == nil || (kindOf(mapError(err)) != rpc.KindConfig && kindOf(mapError(err)) != rpc.KindRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A model that no machine holds is made, and refused when it is used.
	huge := tinyConfig()
	huge.HiddenSize, huge.HeadDim, huge.NumAttentionHeads, huge.NumKeyValueHeads = 16384, 128, 128, 128
	huge.IntermediateSize, huge.NumHiddenLayers = 65536, 200
	r, err := c.newModel(rpc.NewParams{Config: huge, DType: "float32", Precision: "exact"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.openSession(rpc.SessionParams{Model: r.Model})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.forward(t.Context(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1}}})
	if e := mapError(err); kindOf(e) != rpc.KindMemory || e.Data.Needed <= e.Data.Available || e.Data.Hint == "" {
		t.Errorf("got %+v", e)
	}
}

func TestEvictionForMemory(t *testing.T) {
	c := testClient(t)
	open := func(path string) string {
		r, err := c.openModel(t.Context(), rpc.OpenParams{Path: path, Precision: "exact"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Model
	}
	first, second, held := open(tinyModel(t)), open(tinyModel(t)), open(tinyModel(t))
	for _, m := range []string{first, second} {
		if err := c.closeModel(rpc.ModelRef{Model: m}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	tries := 0
	_, err := retryEvicting(c.svc.reg, func() (int, error) {
		tries++
		if tries < 3 {
			return 0, &engine.MemoryError{Needed: 2, Available: 1}
		}
		return 1, nil
	})
	if err != nil || tries != 3 || len(c.svc.reg.models()) != 1 {
		t.Errorf("%d tries, %d models, %v", tries, len(c.svc.reg.models()), err)
	}
	_, err = retryEvicting(c.svc.reg, func() (int, error) { return 0, &engine.MemoryError{Needed: 2, Available: 1} })
	if m := (*engine.MemoryError)(nil); !errors.As(err, &m) {
		t.Errorf("with a held model alone: %v", err)
	}
	logitsOf(t, c, held, []int32{1})
}

func TestCancelledLoadLeavesNothing(t *testing.T) {
	c := testClient(t)
	path := tinyModel(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.openModel(ctx, rpc.OpenParams{Path: path, Precision: "exact"}, nil); err != nil && kindOf(mapError(err)) != rpc.KindCancelled {
		t.Errorf("got %v", err)
	}
	eventually(t, "no load is under way", func() bool {
		c.svc.reg.mu.Lock()
		defer c.svc.reg.mu.Unlock()
		for _, m := range c.svc.reg.shared {
			if m.inst.refs != len(c.allModels()) {
				return false
			}
		}
		return len(c.svc.reg.loading) == 0
	})
	if _, err := c.openModel(t.Context(), rpc.OpenParams{Path: path, Precision: "exact"}, nil); err != nil {
		t.Errorf("the next load: %v", err)
	}
}

func TestLoadEndsWhenNobodyWaits(t *testing.T) {
	noLeak(t)
	begun, over := make(chan struct{}, 2), make(chan struct{})
	block := true
	open := func(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions, progress func(done, total int64)) (engine.Backend, error) {
		if block {
			progress(1, 2)
			begun <- struct{}{}
			<-ctx.Done()
			close(over)
			return nil, ctx.Err()
		}
		return cpu.Open(ctx, cfg, src, opt, progress)
	}
	h := NewLocalHost(LocalOptions{Open: open, Log: slog.New(slog.DiscardHandler)})
	defer h.Close()
	path := tinyModel(t)
	p := rpc.OpenParams{Path: path, Precision: "exact"}
	failed := make(chan error, 2)
	ctx1, cancel1 := context.WithCancel(t.Context())
	ctx2, cancel2 := context.WithCancel(t.Context())
	defer cancel2()
	for _, ctx := range []context.Context{ctx1, ctx2} {
		go func() {
			_, err := h.Open(ctx, p, func(rpc.LoadProgress) {})
			failed <- err
		}()
	}
	<-begun
	eventually(t, "both wait for one load", func() bool {
		h.svc.reg.mu.Lock()
		defer h.svc.reg.mu.Unlock()
		for _, l := range h.svc.reg.loading {
			return l.waiters == 2
		}
		return false
	})
	cancel1()
	if err := <-failed; kindOf(err) != rpc.KindCancelled {
		t.Errorf("got %v", err)
	}
	select {
	case <-over:
		t.Fatal("the load ended while one waits")
	case <-time.After(30 * time.Millisecond):
	}
	cancel2()
	if err := <-failed; kindOf(err) != rpc.KindCancelled {
		t.Errorf("got %v", err)
	}
	<-over
	block = false
	if _, err := h.Open(t.Context(), p, nil); err != nil {
		t.Errorf("the next load: %v", err)
	}
}

func TestMapError(t *testing.T) {
	for _, tc := range []struct {
		err  error
		kind rpc.Kind
		code int
	}{
		{&engine.MemoryError{Needed: 2, Available: 1}, rpc.KindMemory, rpc.CodeFailed},
		{&engine.TokenIndexError{}, rpc.KindTokenIndex, rpc.CodeFailed},
		{&engine.BusyError{}, rpc.KindBusy, rpc.CodeFailed},
		{&engine.CancelledError{Err: context.Canceled}, rpc.KindCancelled, rpc.CodeCancelled},
		{context.Canceled, rpc.KindCancelled, rpc.CodeCancelled},
		{errors.New("x"), rpc.KindInternal, rpc.CodeInternal},
		{requestError("h", "m"), rpc.KindRequest, rpc.CodeFailed},
	} {
		if e := mapError(tc.err); e.Data.Kind != tc.kind || e.Code != tc.code {
			t.Errorf("%T: %+v", tc.err, e)
		}
	}
	if mapError(nil) != nil {
		t.Error("nil is an error")
	}
}
