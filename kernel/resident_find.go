package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
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
	err = answers(ctx, pl.conn)
	if err == nil {
		return pl.conn, false, nil
	}
	if rec, e := readRecord(pl.conn); e == nil && rec.Resident.alive() {
		return "", false, fmt.Errorf("kernel: the resident (pid %d) does not answer: %w (llama-go stop --force ends it)", rec.Resident.PID, err)
	}
	started, err = startOrAwait(ctx, exe, pl)
	if err != nil {
		return "", false, fmt.Errorf("kernel: no resident of llama-go %s: %w", opt.Version, err)
	}
	return pl.conn, started, nil
}

// startOrAwait starts a resident, unless one runs that has lost its file: it
// will write that again.
func startOrAwait(ctx context.Context, exe string, pl place) (started bool, err error) {
	run, err := tryLock(pl.run)
	if err != nil {
		return false, err
	}
	if run != nil {
		run.Close()
		return true, start(ctx, exe, pl)
	}
	for {
		if answers(ctx, pl.conn) == nil {
			return false, nil
		}
		if err := pause(ctx); err != nil {
			return false, fmt.Errorf("one runs (%s is locked) and does not answer: %w", pl.run, err)
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

// ResidentInfo is one resident of this user on this machine.
type ResidentInfo struct {
	ID             string // of its binary, short, for `stop` and `logs`
	ConnectionFile string
	Exe            string
	Version        string
	PID            int
	Current        bool // of this binary
}

// residentFiles lists the connection files of residents of any protocol version
// on this host.
func residentFiles() ([]string, error) {
	dir, err := runtimeDir()
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "llama-go-p*-"+hostID()+".json"))
}

// Residents lists the user's residents of all binaries that live. Files of dead
// ones are removed.
func Residents(ctx context.Context) ([]ResidentInfo, error) {
	current := ""
	if exe, err := executable(""); err == nil {
		if current, err = binaryID(exe); err != nil {
			return nil, err
		}
	}
	files, err := residentFiles()
	if err != nil {
		return nil, err
	}
	list := []ResidentInfo{}
	for _, path := range files {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rec, err := readRecord(path)
		if err != nil {
			continue // it ended this moment, or is no resident's
		}
		r := rec.Resident
		if !r.alive() {
			_ = rec.remove(path) // a leftover, harmless if it stays
			continue
		}
		list = append(list, ResidentInfo{ID: r.ID, ConnectionFile: path, Exe: r.Exe, Version: r.Version, PID: r.PID, Current: r.ID == current})
	}
	return list, nil
}

// StopResident ends a resident and waits until it has; refused while clients
// are attached, unless forced. One that does not answer is terminated with
// force.
func StopResident(ctx context.Context, id string, force bool) error {
	files, err := residentFiles()
	if err != nil {
		return err
	}
	for _, path := range files {
		rec, err := readRecord(path)
		if err != nil || rec.Resident.ID != id || !rec.Resident.alive() {
			continue
		}
		return stopOne(ctx, path, rec.Resident, force)
	}
	return requestError("llama-go ps lists them", "no resident has the id %q", id)
}

func stopOne(ctx context.Context, path string, r residentRecord, force bool) error {
	ask, cancel := context.WithTimeout(ctx, probeTime)
	err := shutdownVia(ask, path, force)
	cancel()
	if e := (*rpc.Error)(nil); errors.As(err, &e) && e.Data.Kind == rpc.KindBusy {
		return err
	}
	if err != nil {
		if !force {
			return fmt.Errorf("kernel: the resident (pid %d) does not answer: %w (--force ends it)", r.PID, err)
		}
		if err := terminate(r.PID); err != nil && r.alive() {
			return fmt.Errorf("kernel: ending pid %d: %w", r.PID, err)
		}
	}
	if ended(ctx, r, stopTime) {
		return nil
	}
	if !force {
		return fmt.Errorf("kernel: the resident (pid %d) still runs after %v (--force kills it)", r.PID, stopTime)
	}
	if err := kill(r.PID); err != nil && r.alive() {
		return fmt.Errorf("kernel: killing pid %d: %w", r.PID, err)
	}
	if !ended(ctx, r, stopTime) {
		return fmt.Errorf("kernel: pid %d cannot be killed", r.PID)
	}
	return nil
}

// ended waits until the process is gone.
func ended(ctx context.Context, r residentRecord, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for r.alive() {
		if pause(ctx) != nil {
			return false
		}
	}
	return true
}

func shutdownVia(ctx context.Context, path string, force bool) error {
	l, err := dialLink(ctx, path, rpc.ClientInfo{Name: "stop", PID: os.Getpid(), Host: hostname()})
	if err != nil {
		return err
	}
	defer l.close()
	_, err = l.rpc.Call(ctx, rpc.MethodShutdown, rpc.ShutdownParams{Force: force}, nil, rpc.CallOptions{Grace: redialWait})
	if e := (*rpc.Error)(nil); errors.As(err, &e) && e.Data.Kind == rpc.KindKernelGone {
		return nil // it was faster than its answer
	}
	return err
}

// stopOlder ends the residents of older binaries of this user that nobody uses.
func stopOlder(ctx context.Context, self residentRecord, log *slog.Logger) {
	files, err := residentFiles()
	if err != nil {
		return
	}
	for _, path := range files {
		rec, err := readRecord(path)
		r := rec.Resident
		if err != nil || r.PID == self.PID || !r.alive() || !r.BinaryTime.Before(self.BinaryTime) {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, probeTime)
		err = shutdownVia(ask, path, false) // refused while somebody is attached
		cancel()
		log.Info("asked an older resident to end", "pid", r.PID, "version", r.Version, "err", err)
	}
}

// LogFile is the path of a resident's log; id "" is this binary's.
func LogFile(id string) (string, error) {
	exe, err := executable("")
	if err != nil {
		return "", err
	}
	pl, err := placeOf(exe)
	if err != nil {
		return "", err
	}
	if id == "" || id == pl.id {
		return pl.log, nil
	}
	if strings.ContainsAny(id, `/\*?[`) {
		return "", requestError("llama-go ps lists them", "no resident has the id %q", id)
	}
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(pl.log), "llama-go-p*-"+id+"-"+hostID()+".log"))
	if err != nil {
		return "", err
	}
	if len(logs) == 0 {
		return "", requestError("llama-go ps lists them", "no log of a resident with the id %q", id)
	}
	return logs[0], nil
}
