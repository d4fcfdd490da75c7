package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/messaging"
)

// Times of finding and starting.
const (
	startTime = 10 * time.Second      // until a started resident answers
	probeTime = 2 * time.Second       // until a running one answers
	pollEvery = 10 * time.Millisecond // for the file, the lock
	stopTime  = 5 * time.Second       // from a shutdown to the process's end
)

// FindOptions say which resident is wanted.
type FindOptions struct {
	Version string
	Exe     string // the binary; "": this one
}

// FindOrStart returns the connection file of the user's resident of this
// binary, after starting `Exe serve` detached where there is none. Of several
// processes that call it at once, one starts. It takes at most 10 s; the error
// of a start that failed has the end of the resident's log.
func FindOrStart(ctx context.Context, opt FindOptions) (connFile string, started bool, err error) {
	exe, err := executable(opt.Exe)
	if err != nil {
		return "", false, fmt.Errorf("kernel: finding the binary: %w", err)
	}
	pl, err := placeOf(exe)
	if err != nil {
		return "", false, err
	}
	if answers(ctx, pl.conn) == nil {
		return pl.conn, false, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("it does not answer within %v", startTime))
	defer cancel()
	for {
		lock, err := tryLock(pl.lock)
		if err != nil {
			return "", false, fmt.Errorf("kernel: locking: %w", err)
		}
		if lock != nil {
			defer lock.Close()
			break
		}
		if answers(ctx, pl.conn) == nil { // whoever has the lock has done it
			return pl.conn, false, nil
		}
		if err := pause(ctx); err != nil {
			return "", false, err
		}
	}
	if answers(ctx, pl.conn) == nil {
		return pl.conn, false, nil
	}
	started, err = startOrAwait(ctx, exe, pl)
	if err != nil {
		return "", false, fmt.Errorf("kernel: no resident of llama-go %s: %w", opt.Version, err)
	}
	return pl.conn, started, nil
}

// startOrAwait starts a resident. While the run lock is held, one is about to
// end, or has lost its file and will write it again, or hangs.
func startOrAwait(ctx context.Context, exe string, pl place) (started bool, err error) {
	for {
		run, err := tryLock(pl.run)
		if err != nil {
			return false, err
		}
		if run != nil {
			run.Close()
			return true, start(ctx, exe, pl)
		}
		if answers(ctx, pl.conn) == nil {
			return false, nil
		}
		if err := pause(ctx); err != nil {
			who := "one"
			if rec, err := readRecord(pl.conn); err == nil {
				who = fmt.Sprintf("pid %d", rec.Resident.PID)
			}
			return false, fmt.Errorf("%s runs and does not answer (llama-go stop --force ends it): %w", who, err)
		}
	}
}

// pause waits a little.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pollEvery):
		return nil
	}
}

// answers is nil when the resident of a connection file lives and answers.
func answers(ctx context.Context, connFile string) error {
	rec, err := readRecord(connFile)
	if err != nil {
		return err
	}
	if !rec.Resident.alive() {
		return errors.New("kernel: the resident of this file has ended")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	c, err := messaging.Dial(ctx, rec.ConnInfo, messaging.ClientOptions{})
	if err != nil {
		return err
	}
	return c.Close()
}

// start runs `exe serve` detached and waits until it answers. The lock is held.
func start(ctx context.Context, exe string, pl place) error {
	logFile, err := os.OpenFile(pl.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening its log: %w", err)
	}
	defer logFile.Close()
	st, err := logFile.Stat()
	if err != nil {
		return fmt.Errorf("opening its log: %w", err)
	}
	cmd := exec.Command(exe, "serve")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Env = os.Environ()
	cmd.Dir = filepath.Dir(pl.conn) // no notebook's folder is kept busy
	if dir := os.Getenv("LLAMA_GO_RUNTIME"); dir != "" {
		if abs, err := filepath.Abs(dir); err == nil {
			cmd.Env = append(cmd.Env, "LLAMA_GO_RUNTIME="+abs)
		}
	}
	detached(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting it: %w", err)
	}
	exited := make(chan error, 1)
	safe.Go("resident's end", func() { exited <- cmd.Wait() }) // reaps it if it ends before us
	for {
		if answers(ctx, pl.conn) == nil {
			return nil
		}
		select {
		case err := <-exited:
			return failedStart(fmt.Sprintf("it ended at once (%v)", err), pl.log, st.Size())
		default:
		}
		if err := pause(ctx); err != nil {
			return failedStart(err.Error(), pl.log, st.Size())
		}
	}
}

func failedStart(why, logPath string, from int64) error {
	text := tail(logPath, from)
	if text == "" {
		text = "the log is empty"
	}
	return fmt.Errorf("%s; %s says:\n%s", why, logPath, text)
}
