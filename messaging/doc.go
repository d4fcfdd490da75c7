// Package messaging speaks the Jupyter wire protocol for a kernel, and for the
// clients of one.
//
// It owns the connection file, the ZMTP sockets (ROUTER, XPUB and REP for the
// kernel; DEALER and SUB for a client), frames and signatures, the typed
// contents, one loop per channel, the execution queue, ordered delivery on
// iopub and the comm manager. What a cell or a comm message means is the
// business of a [Kernel] and of the handlers given to [Comms]; another kernel
// can be built on this package unchanged.
//
// It imports nothing of this module but internal/. From zmq4 it takes the
// greeting and READY handshake alone; sockets, framing, queues and limits are
// its own (limits.go lists them), because a peer that has not proven to hold
// the key must not be able to crash, stall or grow the process.
//
// Caveats. Byte slices given to Send, Display and the like are written without
// a copy: do not change them afterwards. Buffers of received messages belong to
// the receiver. Handlers of comms and the read-only methods of a Kernel run on
// the loop of the channel that the request came in on and must return soon;
// long work belongs on a goroutine of its own.
package messaging
