//go:build !unix

package weights

import "time"

var started = time.Now()

func cpuTime() time.Duration { return time.Since(started) }
