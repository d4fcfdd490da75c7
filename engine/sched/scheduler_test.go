package sched

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

var wide = Limits{Running: 100, Waiting: 100, WaitingTokens: 1 << 30}

func task(name string, needs ...int) *Task {
	t := &Task{Value: name}
	for _, n := range needs {
		t.Rows = append(t.Rows, Need{Seq: &Seq{}, Positions: n})
	}
	return t
}

func submit(t *testing.T, s *Scheduler, tasks ...*Task) {
	t.Helper()
	for _, task := range tasks {
		if err := s.Submit(task); err != nil {
			t.Fatalf("Submit(%v): %v", task.Value, err)
		}
	}
}

func names(tasks []*Task) []string {
	out := []string{}
	for _, t := range tasks {
		out = append(out, t.Value.(string))
	}
	return out
}

func expect[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func turns(s *Scheduler, n int) []string {
	var out []string
	for range n {
		out = append(out, s.Next().Value.(string))
	}
	return out
}

func TestTasksTakeTurns(t *testing.T) {
	s := New(100, 4, wide)
	a, b, c := task("a", 4), task("b", 4), task("c", 4)
	submit(t, s, a, b)
	expect(t, "admitted", names(s.Admit()), []string{"a", "b"})
	expect(t, "two", turns(s, 5), []string{"a", "b", "a", "b", "a"})
	submit(t, s, c)
	s.Admit()
	// a has just had its turn: c waits for b, and a for both.
	expect(t, "three", turns(s, 7), []string{"b", "c", "a", "b", "c", "a", "b"})
	s.Finish(a)
	expect(t, "without a", turns(s, 4), []string{"c", "b", "c", "b"})
	s.Finish(b)
	s.Finish(c)
	if got := s.Next(); got != nil {
		t.Fatalf("Next of nothing: %v", got.Value)
	}
}

func TestAdmissionCountsWorstCase(t *testing.T) {
	s := New(10, 4, wide)
	a := task("a", 13, 5)               // 4 + 2 blocks
	b, c := task("b", 17), task("c", 1) // 5, 1
	submit(t, s, a, b, c)
	expect(t, "only a", names(s.Admit()), []string{"a"}) // b does not fit; c does not overtake it
	if s.Used() != 0 {
		t.Fatalf("admission took %d blocks", s.Used())
	}
	s.Reserve(a.Rows[0].Seq, 1)
	if s.Used() != 1 {
		t.Fatalf("one position took %d blocks", s.Used())
	}
	s.Reserve(a.Rows[0].Seq, 4)
	s.Reserve(a.Rows[0].Seq, 13)
	expect(t, "blocks", a.Rows[0].Seq.Blocks(), []int32{0, 1, 2, 3})
	expect(t, "none", names(s.Admit()), []string{})
	s.Finish(a)
	expect(t, "b and c", names(s.Admit()), []string{"b", "c"})

	var large *TooLargeError
	if err := s.Submit(task("d", 40, 1)); !errors.As(err, &large) || large.Blocks != 11 || large.Limit != 10 {
		t.Fatalf("11 of 10 blocks: %v", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := New(10, 4, Limits{Running: 1, Waiting: 2, WaitingTokens: 20})
	a := task("a", 4)
	submit(t, s, a)
	s.Admit()
	submit(t, s, task("long", 40)) // alone it may wait, whatever it needs
	var busy *BusyError
	if err := s.Submit(task("b", 1)); !errors.As(err, &busy) || busy.Waiting != 1 || busy.WaitingTokens != 40 {
		t.Fatalf("token bound: %v", err)
	}
	s.Finish(a)
	long := s.Admit()[0]
	submit(t, s, task("c", 8), task("d", 8))
	if err := s.Submit(task("e", 1)); !errors.As(err, &busy) || busy.Waiting != 2 {
		t.Fatalf("count bound: %v", err)
	}
	s.Finish(long)
	expect(t, "one runs", names(s.Admit()), []string{"c"})
	if w, r := s.Queued(); w != 1 || r != 1 {
		t.Fatalf("Queued: %d, %d", w, r)
	}
}

func TestFinishOfAWaitingTask(t *testing.T) {
	s := New(4, 4, wide)
	a, b, c := task("a", 16), task("b", 16), task("c", 16)
	submit(t, s, a, b, c)
	s.Admit()
	s.Finish(b)
	s.Finish(b)
	s.Finish(a)
	expect(t, "c", names(s.Admit()), []string{"c"})
}

// hold runs a task that leaves n ids in its row.
func hold(t *testing.T, s *Scheduler, q *Seq, n int) {
	t.Helper()
	x := &Task{Value: "x", Rows: []Need{{q, n}}}
	submit(t, s, x)
	if !slices.Contains(s.Admit(), x) {
		t.Fatal("not admitted")
	}
	s.Reserve(q, n)
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	q.Rewind(0)
	s.Truncate(q, 0)
	s.Reserve(q, n)
	q.Append(ids)
	s.Finish(x)
}

func TestIdleRowsGiveWay(t *testing.T) {
	s := New(6, 4, wide)
	var a, b, c Seq
	hold(t, s, &a, 8)
	hold(t, s, &b, 8)
	hold(t, s, &a, 8) // b is the oldest now
	need := task("need", 16)
	submit(t, s, need)
	expect(t, "admitted", names(s.Admit()), []string{"need"})
	if b.Len() != 0 || len(b.Blocks()) != 0 || len(b.IDs()) != 8 || b.Filled() != 8 {
		t.Errorf("b: %d valid, %d blocks, %d ids, %d filled", b.Len(), len(b.Blocks()), len(b.IDs()), b.Filled())
	}
	if a.Len() != 8 || len(a.Blocks()) != 2 {
		t.Errorf("a lost its blocks although b's were enough")
	}
	// A task's own rows and running rows are never taken.
	own := &Task{Value: "own", Rows: []Need{{&a, 12}}}
	submit(t, s, own)
	expect(t, "own waits", names(s.Admit()), []string{})
	if a.Len() != 8 {
		t.Error("a was taken for its own task")
	}
	s.Finish(need)
	expect(t, "own runs", names(s.Admit()), []string{"own"})
	s.Finish(own)
	hold(t, s, &c, 24)
	if s.Used() != 6 || a.Len() != 0 {
		t.Errorf("%d blocks used, a has %d", s.Used(), a.Len())
	}
}

func TestSetLimit(t *testing.T) {
	s := New(10, 4, wide)
	a, b := task("a", 16), task("b", 28)
	submit(t, s, a, b)
	expect(t, "a", names(s.Admit()), []string{"a"}) // b waits for 7 of 6 blocks
	s.Reserve(a.Rows[0].Seq, 4)
	s.SetLimit(0)
	if s.Limit() != 7 {
		t.Errorf("limit %d with a task of 7 blocks waiting", s.Limit())
	}
	s.Finish(b)
	s.SetLimit(2)
	if s.Limit() != 4 || s.Made() != 1 {
		t.Errorf("limit %d with 4 blocks promised, %d made", s.Limit(), s.Made())
	}
	s.Finish(a)
	s.SetLimit(3)
	var large *TooLargeError
	if err := s.Submit(task("c", 16)); !errors.As(err, &large) || large.Limit != 3 {
		t.Errorf("4 of 3 blocks: %v", err)
	}
	// Under a lower limit idle rows give way, although more blocks could be made.
	d := task("d", 12)
	submit(t, s, d)
	expect(t, "d", names(s.Admit()), []string{"d"})
	if a.Rows[0].Seq.Len() != 0 || len(a.Rows[0].Seq.Blocks()) != 0 {
		t.Error("the idle row kept its block")
	}
}

func TestSeq(t *testing.T) {
	s := New(10, 4, wide)
	q := &Seq{}
	s.Reserve(q, 6)
	q.Append([]int32{1, 2, 3, 4, 5, 6})
	for _, tc := range []struct {
		name   string
		prompt []int32
		want   int
	}{
		{"same", []int32{1, 2, 3, 4, 5, 6}, 6},
		{"longer", []int32{1, 2, 3, 4, 5, 6, 7}, 6},
		{"shorter", []int32{1, 2}, 2},
		{"differs", []int32{1, 2, 9, 4}, 2},
		{"differs at once", []int32{9}, 0},
	} {
		if got := q.Match(tc.prompt); got != tc.want {
			t.Errorf("Match %s: %d, want %d", tc.name, got, tc.want)
		}
	}
	// Overwriting position 1 leaves KV behind it that belongs to no ids.
	q.Rewind(1)
	q.Append([]int32{8})
	if q.Len() != 2 || q.Filled() != 6 || q.Match([]int32{1, 8, 3, 4}) != 2 {
		t.Errorf("after an overwrite: %d valid, %d filled", q.Len(), q.Filled())
	}
	q.Fill(7)
	if q.Filled() != 7 || q.Len() != 2 {
		t.Errorf("Fill: %d filled, %d valid", q.Filled(), q.Len())
	}
	q.Spoil(4)
	if q.Filled() != 4 || q.Len() != 2 {
		t.Errorf("Spoil: %d filled, %d valid", q.Filled(), q.Len())
	}
	// A row that lost its blocks knows its ids; computing some again keeps the rest.
	s.Truncate(q, 0)
	if q.Len() != 0 || q.Filled() != 2 || s.Used() != 0 {
		t.Errorf("Truncate: %d valid, %d filled, %d used", q.Len(), q.Filled(), s.Used())
	}
	q.Append([]int32{1})
	expect(t, "ids", q.IDs(), []int32{1, 8})
	q.Append([]int32{7})
	expect(t, "ids", q.IDs(), []int32{1, 7})
}

func TestPoolRefusesWrongUse(t *testing.T) {
	panics := func(name string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s did not panic", name)
			}
		}()
		f()
	}
	p := pool{limit: 1}
	id := p.take()
	panics("take beyond the limit", func() { p.take() })
	p.put([]int32{id})
	panics("put twice", func() { p.put([]int32{id}) })
	panics("put of an unknown block", func() { p.put([]int32{5}) })
}

// TestRandomHistory runs random tasks and checks after each event that no block
// is held twice, that the count is right, that promises can be kept, and in
// the end that everyone had a turn.
func TestRandomHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const blocks, size = 40, 4
	s := New(blocks, size, Limits{Running: 5, Waiting: 10, WaitingTokens: 1 << 20})
	seqs := make([]*Seq, 12)
	for i := range seqs {
		seqs[i] = &Seq{}
	}
	busy := map[*Seq]bool{}
	finished, refused := 0, 0
	check := func() {
		held := map[int32]bool{}
		for _, q := range seqs {
			if q.valid > q.filled || q.valid > len(q.ids) || len(q.blocks)*size < q.filled {
				t.Fatalf("row: %d valid, %d filled, %d ids, %d blocks", q.valid, q.filled, len(q.ids), len(q.blocks))
			}
			for _, b := range q.blocks {
				if held[b] || int(b) >= blocks {
					t.Fatalf("block %d held twice or out of range", b)
				}
				held[b] = true
			}
		}
		if len(held) != s.Used() || s.unpromised() < 0 {
			t.Fatalf("%d blocks held, %d counted, %d unpromised", len(held), s.Used(), s.unpromised())
		}
	}
	for range 20000 {
		switch rng.IntN(4) {
		case 0:
			x := &Task{}
			for _, q := range seqs {
				if !busy[q] && rng.IntN(6) == 0 {
					x.Rows = append(x.Rows, Need{q, 1 + rng.IntN(40)})
				}
			}
			if err := s.Submit(x); err != nil {
				refused++
				break
			}
			for _, r := range x.Rows {
				busy[r.Seq] = true
			}
		case 1:
			for _, x := range s.Admit() {
				for _, r := range x.Rows {
					n := rng.IntN(r.Seq.Len() + 1)
					n = min(n, r.Positions-1)
					r.Seq.Rewind(n)
					s.Truncate(r.Seq, n)
				}
			}
		default:
			x := s.Next()
			if x == nil {
				break
			}
			over := true
			for _, r := range x.Rows {
				if n := min(1+rng.IntN(6), r.Positions-r.Seq.Len()); n > 0 {
					s.Reserve(r.Seq, r.Seq.Len()+n)
					r.Seq.Append(make([]int32, n))
					over = false
				}
			}
			if over || rng.IntN(30) == 0 {
				s.Finish(x)
				finished++
				for _, r := range x.Rows {
					delete(busy, r.Seq)
				}
			}
		}
		check()
	}
	if finished < 500 || refused == 0 {
		t.Errorf("%d tasks finished, %d refused: the history says little", finished, refused)
	}
}
