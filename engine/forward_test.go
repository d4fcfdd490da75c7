package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// fakeForward is what Forward should return for rows whose whole history is given.
func fakeForward(histories [][]int32, startPos int, keep []int) []float32 {
	var out []float32
	for _, h := range histories {
		for _, k := range keep {
			out = append(out, fakeLogits(h[:startPos+k+1])...)
		}
	}
	return out
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestForward(t *testing.T) {
	e, f := newFake(t, 1000, 64)
	s := newSession(t, e, 4, 0)
	step := func(name string, histories [][]int32, rows [][]int32, startPos int, keep []int) {
		t.Helper()
		got, shape, err := s.Forward(t.Context(), rows, startPos, keep)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if keep == nil {
			keep = seq(len(rows[0]))
		}
		if want := [3]int{len(rows), len(keep), fakeVocab}; shape != want {
			t.Errorf("%s: shape %v, want %v", name, shape, want)
		}
		if !slices.Equal(got, fakeForward(histories, startPos, keep)) {
			t.Errorf("%s: logits differ", name)
		}
	}
	a, b := ids(310, 1), ids(310, 2)
	both := [][]int32{a, b}
	step("two rows, all positions", both, [][]int32{a[:300], b[:300]}, 0, nil)
	step("the next one", both, [][]int32{a[300:301], b[300:301]}, 300, nil)
	step("kept positions in any order", both, [][]int32{a[301:310], b[301:310]}, 301, []int{8, 0, 0, 3})
	step("the same again", both, [][]int32{a[301:310], b[301:310]}, 301, []int{})
	step("from the start", both, [][]int32{a, b}, 0, []int{309, 255, 256})

	// Overwriting the middle: attention goes on to see what lay behind.
	changed := slices.Clone(a)
	changed[5] = (a[5] + 1) % fakeVocab
	step("overwrite", [][]int32{changed}, [][]int32{changed[5:6]}, 5, nil)
	next := append(slices.Clone(changed), 9)
	step("behind the overwritten", [][]int32{next}, [][]int32{{9}}, 310, nil)
	// Generate reuses only what belongs to ids.
	res := checkGenerate(t, s, GenerateRequest{Rows: [][]int32{changed}, MaxGenLen: 2})
	if res.Rows[0].Reused != 6 {
		t.Errorf("%d positions reused, 6 belong to ids", res.Rows[0].Reused)
	}
	// Only wanted positions are asked of the backend.
	before := len(f.steps())
	step("last of a long one", [][]int32{a}, [][]int32{a[:300]}, 0, []int{299})
	if got, want := f.steps()[before:], []string{"0+256/0 ", "256+44/1 "}; !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
}

func TestForwardAfterAnEviction(t *testing.T) {
	e, f := newFake(t, 1000, 6)
	a, b := newSession(t, e, 1, 0), newSession(t, e, 1, 0)
	h := ids(320, 1)
	if _, _, err := a.Forward(t.Context(), [][]int32{h[:300]}, 0, []int{}); err != nil {
		t.Fatal(err)
	}
	checkGenerate(t, b, GenerateRequest{Rows: [][]int32{ids(300, 2)}, MaxGenLen: 1})
	// Interrupted while the lost positions are computed again, then done.
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	f.setBefore(func(ctx context.Context, _ *Batch) error {
		if n++; n == 2 {
			cancel()
		}
		return ctx.Err()
	})
	var cancelled *CancelledError
	if _, _, err := a.Forward(ctx, [][]int32{h[300:310]}, 300, nil); !errors.As(err, &cancelled) || !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	f.setBefore(nil)
	got, _, err := a.Forward(t.Context(), [][]int32{h[300:310]}, 300, nil)
	if err != nil || !slices.Equal(got, fakeForward([][]int32{h}, 300, seq(10))) {
		t.Errorf("after the eviction: %v", err)
	}
	if line := f.steps()[len(f.steps())-1]; line != "256+54/10 " {
		t.Errorf("last step %q", line)
	}
}

func TestRefusedRequestsChangeNothing(t *testing.T) {
	e, f := newFake(t, 100, 64)
	s := newSession(t, e, 2, 80)
	checkGenerate(t, s, GenerateRequest{Rows: [][]int32{ids(10, 1)}, MaxGenLen: 1})
	steps := len(f.steps())
	forward := func(rows [][]int32, start int, keep ...int) func() error {
		return func() error { _, _, err := s.Forward(t.Context(), rows, start, keep); return err }
	}
	generate := func(change func(r *GenerateRequest)) func() error {
		return func() error {
			r := GenerateRequest{Rows: [][]int32{{1, 2}}, MaxGenLen: 3, TopP: 1}
			change(&r)
			_, err := s.Generate(t.Context(), r, func([]Token) { t.Error("a refused request emitted") }, nil)
			return err
		}
	}
	nan := func() float64 { var z float64; return z / z }()
	for _, tc := range []struct {
		name, want string
		do         func() error
	}{
		{"forward: ragged", "expected sequence of length 3 at dim 1 (got 2)", forward([][]int32{{1, 2, 3}, {1, 2}}, 0)},
		{"forward: id", "index out of range in self", forward([][]int32{{1, 50}}, 0)},
		{"forward: negative id", "index out of range in self", forward([][]int32{{-1}}, 0)},
		{"forward: empty batch", "the batch is empty", forward(nil, 0)},
		{"forward: empty rows", "row 0 is empty", forward([][]int32{{}}, 0)},
		{"forward: batch", "batch of 3 rows exceeds max_batch_size 2", forward([][]int32{{1}, {1}, {1}}, 0)},
		{"forward: length", "positions 0 to 80 exceed max_seq_len 80", forward([][]int32{ids(81, 1)}, 0)},
		{"forward: end", "positions 10 to 80 exceed max_seq_len 80", forward([][]int32{ids(71, 1)}, 10)},
		{"forward: negative start", "positions -1 to -1 exceed max_seq_len 80", forward([][]int32{{1}}, -1)},
		{"forward: gap", "start_pos 11 is past the 10 positions that row 0 has filled", forward([][]int32{{1}}, 11)},
		{"forward: gap in another row", "start_pos 5 is past the 0 positions that row 1 has filled", forward([][]int32{{1}, {1}}, 5)},
		{"forward: keep", "position 1 to keep is outside the 1 positions of this call", forward([][]int32{{1}}, 0, 1)},
		{"generate: empty", "the batch is empty", generate(func(r *GenerateRequest) { r.Rows = nil })},
		{"generate: empty row", "row 1 is empty", generate(func(r *GenerateRequest) { r.Rows = [][]int32{{1}, {}} })},
		{"generate: batch", "batch of 3 rows exceeds max_batch_size 2", generate(func(r *GenerateRequest) { r.Rows = [][]int32{{1}, {1}, {1}} })},
		{"generate: length", "prompt 0 has 81 tokens, max_seq_len is 80", generate(func(r *GenerateRequest) { r.Rows = [][]int32{ids(81, 1)} })},
		{"generate: id", "index out of range in self", generate(func(r *GenerateRequest) { r.Rows = [][]int32{{1, 1 << 30}} })},
		{"generate: max_gen_len", "max_gen_len must not be negative, got -1", generate(func(r *GenerateRequest) { r.MaxGenLen = -1 })},
		{"generate: temperature", "temperature must be a finite number >= 0, got -0.5", generate(func(r *GenerateRequest) { r.Temperature = -0.5 })},
		{"generate: NaN", "temperature must be a finite number >= 0, got NaN", generate(func(r *GenerateRequest) { r.Temperature = nan })},
		{"generate: top_p", "top_p must be >= 0, got -1", generate(func(r *GenerateRequest) { r.TopP = -1 })},
		{"generate: seeds", "expected one seed for each of 1 rows, got 2", generate(func(r *GenerateRequest) { r.Seeds = []uint64{1, 2} })},
		{"generate: top_logprobs", "top_logprobs must be between 0 and 1024, got 1025", generate(func(r *GenerateRequest) { r.TopLogProbs = 1025 })},
		{"session: length", "max_seq_len must be between 1 and 100, got 101.", func() error { _, err := e.NewSession(1, 101); return err }},
		{"session: negative", "max_seq_len must be between 1 and 100, got -1.", func() error { _, err := e.NewSession(1, -1); return err }},
		{"session: batch", "max_batch_size must be between 1 and 1024, got 1025.", func() error { _, err := e.NewSession(1025, 1); return err }},
	} {
		err := tc.do()
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
		if k, ok := err.(kinded); !ok || (k.Kind() != "request" && k.Kind() != "token_index") {
			t.Errorf("%s: %T has no kind", tc.name, err)
		}
	}
	if n := len(f.steps()); n != steps {
		t.Errorf("refused requests took %d steps", n-steps)
	}
	if got := s.seqs[0].Len(); got != 10 {
		t.Errorf("the session holds %d positions, had 10", got)
	}
	if b, n := newSession(t, e, 0, 0).Limits(); b != 32 || n != 100 {
		t.Errorf("default limits %d, %d", b, n)
	}
}
