//go:build (amd64 || arm64) && !purego

package peak

import "unsafe"

// Loop repeats an instruction on independent registers.
type Loop struct {
	// Ops are the operations of one turn: a multiplication and an addition are two.
	Ops int
	run func(n int)
}

// Run does n turns, in calls short enough for the scheduler: assembly is never
// preempted.
func (l Loop) Run(n int) {
	const most = 2000 // about 20 µs
	for ; n > 0; n -= most {
		call(l.run, min(n, most))
	}
}

//go:noinline
func call(f func(n int), n int) { f(n) }

func read(f func(n int, p unsafe.Pointer), p []byte, step int) {
	if n := len(p) / step; n > 0 {
		f(n, unsafe.Pointer(unsafe.SliceData(p)))
	}
}
