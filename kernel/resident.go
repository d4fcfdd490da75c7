package kernel

import (
	"context"
	"log/slog"
	"time"

	"github.com/llama-go/llama-go/engine"
)

// ServeOptions make a resident.
type ServeOptions struct {
	Open           engine.OpenBackend
	Version        string
	ConnectionFile string        // "": the user's resident file of this binary
	Idle           time.Duration // exits after so long without client and request; 0: never
	Threads        int           // of the engine; 0: all cores
	Log            *slog.Logger  // nil: a rotated file beside the connection file
}

// Serve is the resident: it holds the engine and serves clients until it is
// shut down, idle for too long, or ctx, SIGTERM or SIGINT ends it. It removes
// its files and sockets.
func Serve(ctx context.Context, opt ServeOptions) error { return errSkeleton }

// FindOptions say which resident is wanted.
type FindOptions struct {
	Version string
	Exe     string // the binary; "": this one
}

// FindOrStart returns the connection file of the user's resident of this
// binary, after starting `Exe serve` detached where there is none. Of several
// processes that call it at once, one starts.
func FindOrStart(ctx context.Context, opt FindOptions) (connFile string, started bool, err error) {
	return "", false, errSkeleton
}

// ResidentInfo is one resident of this user on this machine.
type ResidentInfo struct {
	ID             string // short, for `stop`
	ConnectionFile string
	Exe            string
	Version        string
	PID            int
	Current        bool // of this binary
}

// Residents lists the user's residents of all binaries.
func Residents(ctx context.Context) ([]ResidentInfo, error) { return nil, errSkeleton }

// StopResident ends a resident; refused while clients are attached, unless
// forced.
func StopResident(ctx context.Context, id string, force bool) error { return errSkeleton }

// LogFile is the path of a resident's log; id "" is this binary's.
func LogFile(id string) (string, error) { return "", errSkeleton }
