package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
)

// LeaseTime is how long a client without a connection keeps what it holds.
const LeaseTime = 10 * time.Second

// fileTime is how often a resident looks after its connection file.
const fileTime = time.Second

// ServeOptions make a resident.
type ServeOptions struct {
	Open           engine.OpenBackend
	Estimate       engine.Estimate // of Open, for the memory check; may be nil
	Version        string
	ConnectionFile string        // "": the user's resident file of this binary
	Idle           time.Duration // exits after so long without client and request; 0: never
	Threads        int           // of the engine; 0: all cores
	Log            *slog.Logger  // nil: a rotated file beside the connection file
	Lease          time.Duration // 0: LeaseTime
}

// Serve is the resident: it holds the engine and serves clients until it is
// shut down, idle for too long, or ctx, SIGTERM or SIGINT ends it; all of these
// return nil. It removes its files and sockets. Where this binary's resident
// runs already it returns an error.
func Serve(ctx context.Context, opt ServeOptions) (err error) {
	ctx, stopSignals := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stopSignals()
	pl, unlock, err := claim(opt.ConnectionFile)
	if err != nil {
		return err
	}
	defer unlock()
	log := opt.Log
	if log == nil {
		file, err := openLog(pl.log)
		if err != nil {
			return fmt.Errorf("kernel: opening the log: %w", err)
		}
		defer file.Close()
		log = newLogger(file)
	}
	r, err := newResident(opt, pl, log)
	if err != nil {
		return err
	}
	log.Info("resident started", "id", pl.id, "version", opt.Version, "pid", os.Getpid(), "file", pl.conn)
	err = r.run(ctx)
	log.Info("resident ends", "err", err)
	return err
}

// claim decides where the resident's files are and takes the lock that says it
// runs.
func claim(connFile string) (place, func(), error) {
	if connFile != "" {
		abs, err := filepath.Abs(connFile)
		if err != nil {
			return place{}, nil, err
		}
		if old, err := readRecord(abs); err == nil && old.Resident.alive() {
			return place{}, nil, fmt.Errorf("kernel: a resident (pid %d) has this connection file already: %s", old.Resident.PID, abs)
		}
		return place{id: strconv.Itoa(os.Getpid()), conn: abs, log: abs + ".log"}, func() {}, nil
	}
	exe, err := executable("")
	if err != nil {
		return place{}, nil, err
	}
	pl, err := placeOf(exe)
	if err != nil {
		return place{}, nil, err
	}
	var lock *os.File
	for range 100 { // one that is just ending holds it for a moment
		if lock, err = tryLock(pl.run); err != nil {
			return place{}, nil, fmt.Errorf("kernel: locking: %w", err)
		}
		if lock != nil || answers(context.Background(), pl.conn) == nil {
			break
		}
		time.Sleep(pollEvery)
	}
	if lock == nil {
		return place{}, nil, fmt.Errorf("kernel: this binary's resident runs already (llama-go ps shows it, llama-go stop ends it)")
	}
	return pl, func() { lock.Close() }, nil
}

// resident is a running Serve.
type resident struct {
	svc    *service
	server *messaging.Server
	rpc    *rpc.Server[*client]
	host   *LocalHost // of the cells that a console runs on the resident itself
	front  *Front
	file   string
	rec    record
	log    *slog.Logger
	leases *leases
}

func newResident(opt ServeOptions, pl place, log *slog.Logger) (*resident, error) {
	dir, err := socketDir()
	if err != nil {
		return nil, err
	}
	info := messaging.NewConnInfo("tcp", "127.0.0.1")
	if transport() == "ipc" {
		sweepSockets(dir)
		info = messaging.NewConnInfo("ipc", filepath.Join(dir, socketPrefix+strconv.Itoa(os.Getpid())))
	}
	info.KernelName = "llama-go"
	svc := newService(opt.Open, opt.Estimate, opt.Threads, rpc.ServerInfo{Version: opt.Version, PID: os.Getpid()}, log)
	svc.idle = opt.Idle
	r := &resident{svc: svc, file: pl.conn, log: log}
	r.host = svc.localHost("console on the resident", opt.Version)
	r.front = NewKernel(r.host, FrontOptions{Version: opt.Version})
	r.server, err = messaging.Listen(info, r.front, messaging.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	lease := opt.Lease
	if lease == 0 {
		lease = LeaseTime
	}
	r.rpc = &rpc.Server[*client]{Info: svc.info, Lease: lease, Log: log, MapError: mapError}
	svc.methods(r.rpc)
	svc.stop = func() {
		// The answer leaves first: Shutdown lets queued messages go.
		safe.Go("shutdown", func() {
			time.Sleep(20 * time.Millisecond)
			r.server.Shutdown()
		})
	}
	r.leases = newLeases(lease, r.server.Connected, log)
	r.server.OnDisconnect(r.leases.disconnected)
	r.server.Comms().Register(rpc.Target, r.accept)
	r.rec = record{ConnInfo: r.server.Info(), Resident: newRecord(pl.id, opt.Version)}
	if err := r.rec.write(pl.conn); err != nil {
		return nil, errors.Join(err, r.server.Close())
	}
	return r, nil
}

// run serves until the end and cleans up.
func (r *resident) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.svc.idle > 0 {
		safe.Go("idle watch", func() { r.watchIdle(ctx, cancel) })
	}
	safe.Go("connection file", func() { r.keepFile(ctx) })
	safe.Go("older residents", func() { stopOlder(ctx, r.rec.Resident, r.log) })
	err := r.server.Serve(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if e := r.rec.remove(r.file); e != nil {
		r.log.Warn("removing the connection file", "err", e)
	}
	r.leases.closeAll()
	r.front.Close()
	closeQuietly(r.log, r.host)
	r.svc.shutdown()
	return err
}

func closeQuietly(log *slog.Logger, c io.Closer) {
	if err := c.Close(); err != nil {
		log.Warn("closing", "err", err)
	}
}

// keepFile writes the connection file again when somebody has removed it, for a
// resident that cannot be found cannot be stopped either.
func (r *resident) keepFile(ctx context.Context) {
	tick := time.NewTicker(fileTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := os.Stat(r.file); !errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err := r.rec.write(r.file); err != nil {
				r.log.Warn("writing the connection file again", "err", err)
			}
		}
	}
}

// watchIdle ends the resident when no client has been attached and no request
// has run for the idle time.
func (r *resident) watchIdle(ctx context.Context, end func()) {
	tick := time.NewTicker(min(max(r.svc.idle/20, 10*time.Millisecond), 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.svc.idleFor() >= r.svc.idle {
				r.log.Info("idle for too long", "limit", r.svc.idle)
				end()
				return
			}
		}
	}
}
