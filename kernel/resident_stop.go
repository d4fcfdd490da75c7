package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llama-go/llama-go/kernel/rpc"
)

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
