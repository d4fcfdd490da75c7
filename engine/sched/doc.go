// Package sched is the bookkeeping of requests that share one model: which KV
// blocks a row holds, which request may start, and whose turn the next step is.
// It computes on counts and block ids alone and can be tested without a model.
//
// A request is admitted only when the blocks that it could need at worst are
// there, so a running request never waits for a block and is never preempted.
// Blocks themselves are taken as positions fill. Rows of idle sessions keep
// their KV as a cache: when a request needs room, the least recently used rows
// lose theirs and are computed again when they come back.
//
// The package imports nothing of ours, starts no goroutine and takes no lock:
// its caller serialises all calls that touch one Scheduler.
package sched
