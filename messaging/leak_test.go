package messaging

import (
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var discard = slog.New(slog.DiscardHandler)

// TestNoLeaks starts and stops servers and clients: no goroutine and no file
// descriptor stays, also of a client whose server went first.
func TestNoLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	fds := openFiles(t)
	for i := range 20 {
		transport := []string{"tcp", "ipc"}[i%2]
		t.Run(transport, func(t *testing.T) {
			s, _ := testServer(t, transport)
			c := testClient(t, s)
			openComm(t, c, "leak")
			if i%4 < 2 {
				s.Close()
			}
		})
	}
	goleak.VerifyNone(t, before)
	if now := openFiles(t); now > fds {
		t.Errorf("%d files are open, before %d", now, fds)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	for range 2 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
