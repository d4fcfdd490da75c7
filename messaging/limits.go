package messaging

import "time"

// What a peer may do to this process. Everything below holds before a peer has
// proven to have the key, unless it says otherwise.
const (
	handshakeTime = 3 * time.Second // greeting and READY
	maxReady      = 4 << 10         // bytes of a READY command
	maxCommand    = 2 << 10         // bytes of any later command

	maxParts   = 1024     // frames of a message
	maxMessage = 1 << 30  // bytes of a message
	maxJSON    = 16 << 20 // bytes of a JSON frame, or of one ahead of the delimiter

	maxShellBuffer   = 512 << 20 // bytes of a buffer frame, once the signature is verified
	maxControlBuffer = 64 << 20
	maxStdinFrame    = 1 << 20
	maxHeartbeat     = 64 << 10

	// Memory follows the bytes that have come in: at most this much is
	// allocated ahead of them for a connection, so 256 MiB for a full socket.
	maxAhead = 1 << 20

	maxUnverified      = 16 << 20 // bytes of one connection ahead of a verified signature
	maxUnverifiedTotal = 48 << 20 // of all connections of a server
	// Of all connections that have never signed anything: less, because the
	// garbage collector lets the heap grow to twice what is held.
	maxUnverifiedStrangers = 16 << 20

	maxConns     = 256 // connections of a socket; on ipc of each uid
	maxConnsUIDs = 4   // uids that can fill a socket on ipc

	maxQueue          = 256 << 20 // bytes waiting for one peer, in whole messages
	maxQueueHeartbeat = 1 << 20
	maxSmallReplies   = 1024 // PONGs and welcomes waiting for one peer

	maxSubscription  = 1 << 10 // bytes of a subscription frame
	maxSubscriptions = 1024    // live ones of a connection

	stallTime  = 5 * time.Second // a write without progress; the window of minProgress
	writeStep  = 1 << 20         // bytes written under one stall timer
	minRecv    = 64 << 10        // bytes that must come in per stallTime inside a message
	lingerTime = time.Second     // for queued messages when a server or client closes

	paceMessages = 128     // useless messages of a connection, or
	paceBytes    = 1 << 20 // bytes of them, after which it waits for
	pacePause    = 500 * time.Microsecond

	acceptPause = 20 * time.Millisecond // after a failed accept

	replaySize = 65536 // verified signatures remembered
)
