package sched

import "slices"

// Scheduler owns the blocks of one model and the order of its tasks.
type Scheduler struct {
	blockSize int
	limits    Limits
	pool      pool
	owners    map[*Seq]struct{} // rows that hold blocks
	waiting   []*Task           // first come, first admitted
	running   []*Task           // in the order of their turns
	current   *Task             // the one that Next returned last, at the head of running
	clock     uint64
}

// New makes a scheduler of blocks of blockSize positions each.
func New(blocks, blockSize int, limits Limits) *Scheduler {
	return &Scheduler{
		blockSize: blockSize,
		limits:    limits,
		pool:      pool{limit: blocks},
		owners:    map[*Seq]struct{}{},
	}
}

// Submit puts a task at the end of the queue, or refuses it at once: with
// *TooLargeError when it could never run, with *BusyError when the queue is
// full. A refused task changes nothing.
func (s *Scheduler) Submit(t *Task) error {
	if n := t.worst(s.blockSize); n > s.pool.limit {
		return &TooLargeError{Blocks: n, Limit: s.pool.limit}
	}
	// A task that would run at once does not count as waiting.
	if len(s.waiting) > 0 || !s.fits(t) {
		var queued int64
		for _, w := range s.waiting {
			queued += w.tokens()
		}
		// One task may always wait, however large it is.
		if len(s.waiting) >= s.limits.Waiting || (len(s.waiting) > 0 && queued+t.tokens() > s.limits.WaitingTokens) {
			return &BusyError{Waiting: len(s.waiting), WaitingTokens: queued}
		}
	}
	s.waiting = append(s.waiting, t)
	return nil
}

// fits reports whether the task could be admitted now, if need be at the
// expense of idle rows.
func (s *Scheduler) fits(t *Task) bool {
	if len(s.running) >= s.limits.Running {
		return false
	}
	idle := 0
	for q := range s.owners {
		if q.run == nil && !t.has(q) {
			idle += len(q.blocks)
		}
	}
	return t.missing(s.blockSize) <= s.unpromised()+idle
}

// unpromised is the number of blocks that nobody holds and no running task
// could still take.
func (s *Scheduler) unpromised() int {
	n := s.pool.limit - s.pool.used
	for _, t := range s.running {
		n -= t.missing(s.blockSize)
	}
	return n
}

func (t *Task) has(q *Seq) bool {
	return slices.ContainsFunc(t.Rows, func(r Need) bool { return r.Seq == q })
}

// Admit moves tasks from the head of the queue among the running ones for as
// long as the next one fits, and returns them. It takes blocks from the least
// recently used idle rows where that is needed.
func (s *Scheduler) Admit() []*Task {
	var started []*Task
	for len(s.waiting) > 0 && s.fits(s.waiting[0]) {
		t := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		for t.missing(s.blockSize) > s.unpromised() {
			s.evict(t)
		}
		for _, r := range t.Rows {
			r.Seq.run = t
		}
		t.running = true
		s.running = append(s.running, t)
		started = append(started, t)
	}
	return started
}

// evict takes the blocks of the idle row that was used least recently and does
// not belong to t. fits has made sure that there is one.
func (s *Scheduler) evict(t *Task) {
	var oldest *Seq
	for q := range s.owners {
		if q.run == nil && !t.has(q) && (oldest == nil || q.last < oldest.last) {
			oldest = q
		}
	}
	s.Truncate(oldest, 0)
}

// Next returns the task whose turn it is, nil when none runs. The task of the
// turn before goes to the end of the line, behind those admitted meanwhile.
func (s *Scheduler) Next() *Task {
	if s.current != nil {
		s.running = append(s.running[1:], s.current)
		s.current = nil
	}
	if len(s.running) == 0 {
		return nil
	}
	s.current = s.running[0]
	return s.current
}

// Finish ends a task, running or waiting. Its rows keep their KV.
func (s *Scheduler) Finish(t *Task) {
	if i := slices.Index(s.waiting, t); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return
	}
	i := slices.Index(s.running, t)
	if i < 0 {
		return
	}
	s.running = slices.Delete(s.running, i, i+1)
	if s.current == t {
		s.current = nil
	}
	t.running = false
	s.clock++
	for _, r := range t.Rows {
		r.Seq.run = nil
		r.Seq.last = s.clock
	}
}

// Running reports whether the task has been admitted and has not ended.
func (t *Task) Running() bool { return t.running }

// Reserve takes blocks so that the row can hold n positions, which must be
// within what its running task said that it needs.
func (s *Scheduler) Reserve(q *Seq, n int) {
	for len(q.blocks) < blocksFor(n, s.blockSize) {
		q.blocks = append(q.blocks, s.pool.take())
		s.owners[q] = struct{}{}
	}
}

// Truncate gives back the blocks of the row beyond position n, and the KV of
// positions from n on with them. The row still knows its ids, see Seq.
func (s *Scheduler) Truncate(q *Seq, n int) {
	q.Spoil(n)
	if keep := blocksFor(n, s.blockSize); keep < len(q.blocks) {
		s.pool.put(q.blocks[keep:])
		q.blocks = q.blocks[:keep]
	}
	if len(q.blocks) == 0 {
		delete(s.owners, q)
	}
}

// Used is the number of blocks that rows hold.
func (s *Scheduler) Used() int { return s.pool.used }

// Limit is the number of blocks that rows may hold.
func (s *Scheduler) Limit() int { return s.pool.limit }

// Made is the number of blocks that were ever handed out: what a backend that
// keeps its blocks has memory for already.
func (s *Scheduler) Made() int { return int(s.pool.made) }

// SetLimit changes how many blocks rows may hold. The limit never goes below what
// running tasks hold and could take, nor below what a waiting one needs.
func (s *Scheduler) SetLimit(blocks int) {
	for _, t := range s.waiting {
		blocks = max(blocks, t.worst(s.blockSize))
	}
	s.pool.limit = max(blocks, s.pool.limit-s.unpromised())
}

// Queued returns the number of waiting tasks and of running ones.
func (s *Scheduler) Queued() (waiting, running int) { return len(s.waiting), len(s.running) }

// Tasks returns all tasks, running ones first.
func (s *Scheduler) Tasks() []*Task { return slices.Concat(s.running, s.waiting) }
