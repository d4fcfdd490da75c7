package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/messaging"
)

// RunOptions make the process that Jupyter starts.
type RunOptions struct {
	ConnectionFile string // what Jupyter wrote: -f
	InProcess      bool   // the engine in this process instead of the resident
	Resident       string // connection file of a resident; "": the user's, found or started
	Open           engine.OpenBackend
	Estimate       engine.Estimate // of Open, for the memory check; may be nil
	Threads        int             // of an engine in this process; 0: all cores
	Version        string
	Model          string       // the first model; "": smollm2
	Log            *slog.Logger // nil: stderr, from LLAMA_GO_LOG's level on; warnings when that is not set
}

// Run is `llama-go kernel`: it reads the connection file, binds, and serves
// cells until a shutdown_request, SIGTERM, or the death of the parent that
// JPY_PARENT_PID names; all of these return nil. SIGINT interrupts the running
// cell and never ends the process.
func Run(ctx context.Context, opt RunOptions) error {
	if opt.Log == nil {
		opt.Log = frontLogger()
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	interrupts := make(chan os.Signal, 4)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)

	info, warnings, err := messaging.ReadConnFile(opt.ConnectionFile)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		opt.Log.Warn(w)
	}
	host := opt.host()
	defer host.Close()
	front := NewKernel(host, FrontOptions{Version: opt.Version, Model: opt.Model})
	defer front.Close()
	server, err := messaging.Listen(info, front, messaging.Options{Logger: opt.Log})
	if err != nil {
		return err
	}
	if got := server.Info(); got != info { // ports were 0
		if err := got.Write(opt.ConnectionFile); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	safe.Go("kernel signals", func() {
		for {
			select {
			case <-interrupts:
				server.Interrupt()
			case <-ctx.Done():
				return
			}
		}
	})
	safe.Go("kernel parent watch", func() {
		if why := watchParent(ctx); why != "" {
			opt.Log.Info("leaving", "why", why)
			end(errParentGone)
		}
	})
	if l, ok := host.(*lazyHost); ok { // have the resident ready for the first cell
		safe.Go("kernel connect", func() {
			if _, err := l.get(ctx); err != nil && ctx.Err() == nil {
				opt.Log.Warn("no resident yet: the first cell tries again", "err", err)
			}
		})
	}
	if err := server.Serve(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("kernel: serving stopped: %w", err)
	}
	return nil
}

// frontLogger writes little: a console shows its kernel's stderr.
func frontLogger() *slog.Logger {
	level := slog.LevelWarn
	_ = level.UnmarshalText([]byte(os.Getenv("LLAMA_GO_LOG"))) // an unknown level changes nothing
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

var errParentGone = errors.New("kernel: the parent process is gone")

// host is the engine in this process, or a client of the resident.
func (opt RunOptions) host() Host {
	if opt.InProcess {
		return NewLocalHost(LocalOptions{Open: opt.Open, Estimate: opt.Estimate, Threads: opt.Threads, Version: opt.Version, Log: opt.Log})
	}
	return newLazyHost(func(ctx context.Context) (Host, error) {
		return ConnectHost(ctx, ConnectOptions{ConnectionFile: opt.Resident, Version: opt.Version, ClientName: "kernel"})
	})
}
