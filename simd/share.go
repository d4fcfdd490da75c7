package simd

import "time"

// share finds out whether the team gets the processors that it would keep busy.
// Where another process wants one of them, a team that waits for its preempted
// member is slower than the caller alone; so the caller then works alone for a
// while, and the processor is left to the other process.
//
// A team spins while it waits: over some milliseconds its processor time is the
// wall time for each member, unless others run.
type share struct {
	begin, cpu time.Duration // of the window that is measured
	until      time.Duration // the caller works alone
	rest       time.Duration // how long that was
}

const (
	shareWindow = 5 * time.Millisecond
	enoughShare = 0.85
	firstRest   = 20 * time.Millisecond
	longestRest = 320 * time.Millisecond // a window in between costs 2 %
)

// clock is where now counts from.
var clock = time.Now()

// now is a cheap monotonic clock.
func now() time.Duration { return time.Since(clock) }

// team tells whether the next region is for all.
func (s *share) team(size int) bool {
	t := now()
	if t < s.until {
		return false
	}
	if elapsed := t - s.begin; elapsed > shareWindow {
		cpu := processTime()
		// Longer windows hold a time in which the team slept.
		if elapsed < 2*shareWindow && cpu > 0 {
			s.judge(t, float64(cpu-s.cpu)/float64(elapsed)/float64(size))
		}
		s.begin, s.cpu = t, cpu
	}
	return t >= s.until
}

// judge begins a rest when the share of a window is too small: twice as long as
// the last one if that has just ended.
func (s *share) judge(t time.Duration, share float64) {
	if share >= enoughShare {
		return
	}
	if s.rest > 0 && t-s.until < 4*shareWindow {
		s.rest = min(2*s.rest, longestRest)
	} else {
		s.rest = firstRest
	}
	s.until = t + s.rest
}
