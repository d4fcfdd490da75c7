package simd

import "time"

// share finds out whether the team gets the processors that it would keep busy.
// Where another process wants one of them, a team that waits for its preempted
// member is slower than the caller alone; so the caller then works alone for a
// while, and the processor is left to the other process.
//
// A team spins while it waits: its processor time is the wall time for each
// member, unless others run. The system counts the time of running threads by
// its ticks, some milliseconds, so a window must be long beside them.
type share struct {
	open       bool          // a window is measured
	begin, cpu time.Duration // of the window
	last       time.Duration // the end of the last region
	napped     time.Duration // in the window
	paused     time.Duration // in the window, between regions
	until      time.Duration // the caller works alone
	rest       time.Duration // how long that is, or was the last time; 0: the team had its share
	judged     time.Duration // when that was found
}

const (
	shareWindow = 50 * time.Millisecond
	shareGap    = 5 * time.Millisecond // a longer pause between regions ends a window
	enoughShare = 0.85
	firstRest   = 2 * shareWindow
	longestRest = 32 * shareWindow // a window in between costs 1 %
	restMemory  = 5 * time.Second  // who took a processor is taken to be there still
)

// clock is where now counts from.
var clock = time.Now()

// now is a cheap monotonic clock.
func now() time.Duration { return time.Since(clock) }

// team tells whether the next region is for all. Work that begins after a pause
// begins with a rest where the work before it met a neighbour a short while ago.
func (s *share) team(size int) bool {
	t := now()
	if t < s.until {
		s.open = false
		return false
	}
	pause := t - s.last
	if s.rest > 0 && pause > s.rest && t-s.judged < restMemory {
		s.open, s.until = false, t+s.rest
		return false
	}
	if s.open && pause <= shareGap {
		s.paused += pause
		elapsed := t - s.begin - s.paused // what the process does in pauses counts for it
		if elapsed < shareWindow {
			return true
		}
		if cpu := processTime(); cpu > 0 {
			s.judge(t, float64(cpu-s.cpu+s.napped)/float64(elapsed)/float64(size))
		}
	}
	s.open, s.begin, s.cpu, s.napped, s.paused = true, t, processTime(), 0, 0
	return t >= s.until
}

// ended tells of a region's end, and how long the caller slept in it.
func (s *share) ended(napped time.Duration) {
	s.last = now()
	s.napped += napped
}

// judge begins a rest when the share of a window is too small, twice as long as
// the last one if that was a short while ago.
func (s *share) judge(t time.Duration, share float64) {
	if share >= enoughShare {
		s.rest = 0
		return
	}
	if s.rest > 0 && t-s.judged < restMemory {
		s.rest = min(2*s.rest, longestRest)
	} else {
		s.rest = firstRest
	}
	s.judged, s.until = t, t+s.rest
}
