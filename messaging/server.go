package messaging

import (
	"context"
	"errors"
	"log/slog"
)

// Options of a server. The zero value is right for a local kernel.
type Options struct {
	AllowNoKey  bool         // serve without signatures when the key is empty
	AllowRemote bool         // bind an address that is not a loopback one
	Logger      *slog.Logger // nil: slog.Default()
}

// Server is a kernel's side of the protocol: five bound sockets and what runs
// behind them.
type Server struct {
	info   ConnInfo
	kernel Kernel
	comms  *Comms
}

var errSkeleton = errors.New("messaging: not built yet")

// Listen checks info, binds the five sockets and starts accepting connections;
// requests are answered once Serve runs. Ports that are 0 are chosen: Info
// tells them.
func Listen(info ConnInfo, k Kernel, opt Options) (*Server, error) { return nil, errSkeleton }

// Info is the connection file with the ports that were bound.
func (s *Server) Info() ConnInfo { return s.info }

// Serve answers requests until a shutdown_request has been answered (nil), ctx
// ends (ctx's error) or Close is called (nil). It closes the server.
func (s *Server) Serve(ctx context.Context) error { return errSkeleton }

// Close stops the server: queued messages get up to 1 s to leave, then all
// connections are closed and the socket files removed.
func (s *Server) Close() error { return errSkeleton }

// Comms is the comm manager.
func (s *Server) Comms() *Comms { return s.comms }

// Session is the server's own session: one new UUID per process and server.
func (s *Server) Session() string { return "" }

// Interrupt does what an interrupt_request does: it ends the ctx of the running
// cell and calls Kernel.Interrupt. Call it on SIGINT.
func (s *Server) Interrupt() {}

// Shutdown stops Serve as a shutdown_request does, without one.
func (s *Server) Shutdown() {}

// Connected reports whether any shell or control connection of the client
// session is open: one with the session as ZMQ identity, or one that has sent a
// signed message of that session.
func (s *Server) Connected(session string) bool { return false }

// OnDisconnect sets f to be called, on its own goroutine, when the last shell
// or control connection of a session that has sent a signed message is gone.
func (s *Server) OnDisconnect(f func(session string)) {}
