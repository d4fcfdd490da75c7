package kernel

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// process is another process, held by a pidfd so that a reused pid is never
// mistaken for it.
type process struct{ fd int }

// openProcess holds pid; a pid that does not exist, perhaps because it belongs
// to another pid namespace, or a kernel without pidfds, gives one that never exits.
func openProcess(pid int) process {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return process{-1}
	}
	return process{fd}
}

// exited waits up to d for the end of the process.
func (p process) exited(ctx context.Context, d time.Duration) bool {
	if p.fd < 0 {
		sleep(ctx, d)
		return false
	}
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(d.Milliseconds()))
	if err != nil { // EINTR, or worse: never spin
		sleep(ctx, d/10)
	}
	return n > 0
}

func (p process) close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
