package sched

import "fmt"

// Task is one request: rows that go through the model together.
type Task struct {
	Rows  []Need
	Value any // the caller's

	running bool
}

// Need is a row of a task and the most positions that it could come to hold.
type Need struct {
	Seq       *Seq
	Positions int
}

// Limits bound what a Scheduler accepts.
type Limits struct {
	Running       int   // tasks that take turns; later ones wait
	Waiting       int   // waiting tasks
	WaitingTokens int64 // positions that waiting tasks could need together
}

// BusyError refuses a task because too much waits already.
type BusyError struct {
	Waiting       int
	WaitingTokens int64
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("sched: %d tasks with %d positions wait already", e.Waiting, e.WaitingTokens)
}

// TooLargeError refuses a task that could never be admitted.
type TooLargeError struct {
	Blocks, Limit int // needed at worst; in the pool
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("sched: the task could need %d KV blocks, the pool has %d", e.Blocks, e.Limit)
}

// tokens is the sum of the rows' worst cases.
func (t *Task) tokens() int64 {
	var n int64
	for _, r := range t.Rows {
		n += int64(r.Positions)
	}
	return n
}

// worst is the number of blocks that the task could hold.
func (t *Task) worst(blockSize int) int {
	n := 0
	for _, r := range t.Rows {
		n += blocksFor(r.Positions, blockSize)
	}
	return n
}

// missing is the number of blocks that the task could still take.
func (t *Task) missing(blockSize int) int {
	n := 0
	for _, r := range t.Rows {
		n += max(0, blocksFor(r.Positions, blockSize)-len(r.Seq.blocks))
	}
	return n
}

func blocksFor(positions, blockSize int) int { return (positions + blockSize - 1) / blockSize }
