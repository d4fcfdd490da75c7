package kernel

import (
	"context"
	"os"
	"strconv"
	"time"
)

// parentEvery is how often the parent is looked at.
const parentEvery = time.Second

// watchParent returns the reason once the process that JPY_PARENT_PID names is
// gone, and "" when ctx ends. Without that variable nothing is watched: such a
// kernel was detached on purpose. Two signs count: the process has exited
// (where the system can tell without a race), and this process has got another
// parent, which "ppid is 1" misses under a subreaper.
func watchParent(ctx context.Context) string {
	pid, err := strconv.Atoi(os.Getenv("JPY_PARENT_PID"))
	if err != nil || pid <= 0 {
		return ""
	}
	first := os.Getppid()
	p := openProcess(pid)
	defer p.close()
	for ctx.Err() == nil {
		if p.exited(ctx, parentEvery) {
			return "the process of JPY_PARENT_PID has exited"
		}
		if first == pid && os.Getppid() != first {
			return "the parent process has gone"
		}
	}
	return ""
}
