package sched

// Seq is one row of a session: token ids and the KV blocks that hold them. The
// zero Seq is empty.
//
// Three lengths describe it. valid: the KV of positions [0, valid) is there and
// belongs to ids. len(ids) ≥ valid: what lies between has lost its blocks to
// another request and can be computed again. filled ≥ valid: what lies between
// holds KV that is no function of ids any more, because earlier positions were
// overwritten; forward passes may still attend to it, prefix reuse may not.
type Seq struct {
	ids    []int32
	valid  int
	filled int
	blocks []int32 // block i holds positions [i·size, (i+1)·size)
	last   uint64  // when its last task ended
	run    *Task   // the running task, or nil
}

// IDs are the ids of the row's positions; the caller does not change them.
func (q *Seq) IDs() []int32 { return q.ids }

// Len is the number of positions whose KV is there and belongs to IDs.
func (q *Seq) Len() int { return q.valid }

// Filled is the number of positions that a new one may attend to: they hold KV,
// or their ids are known and it can be computed again.
func (q *Seq) Filled() int { return max(q.filled, len(q.ids)) }

// Blocks is the block table; the caller does not change it.
func (q *Seq) Blocks() []int32 { return q.blocks }

// Match returns how many leading ids of the prompt have their KV in the row.
func (q *Seq) Match(prompt []int32) int {
	n := min(len(prompt), q.valid)
	for i := range n {
		if q.ids[i] != prompt[i] {
			return i
		}
	}
	return n
}

// Rewind forgets the ids from position n on, which are about to be overwritten.
// Their KV stays, see Filled.
func (q *Seq) Rewind(n int) {
	q.ids = q.ids[:min(n, len(q.ids))]
	q.valid = min(q.valid, len(q.ids))
}

// Append says that the KV of these ids, at positions Len and following, is there
// now. Ids that the row knew at these positions may come again; others replace
// all that it knew from there on.
func (q *Seq) Append(ids []int32) {
	for i, id := range ids {
		p := q.valid + i
		if p == len(q.ids) || q.ids[p] != id {
			q.ids = append(q.ids[:p], ids[i:]...)
			break
		}
	}
	q.valid += len(ids)
	q.filled = max(q.filled, q.valid)
}

// Fill says that positions up to n hold KV that does not belong to IDs.
func (q *Seq) Fill(n int) { q.filled = max(q.filled, n) }

// Spoil says that all positions from n on may hold anything, because a step that
// wrote there was abandoned.
func (q *Seq) Spoil(n int) {
	q.valid = min(q.valid, n)
	q.filled = min(q.filled, n)
}
