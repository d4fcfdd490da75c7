// Package rpc is the schema of the methods between a client and the resident,
// JSON-RPC 2.0 over one Jupyter comm (target "llama"), and the machinery of
// both ends: Server dispatches requests, Client makes them. One file per group
// of methods holds their params and results; golden messages under testdata/
// are read by Go and by pytest, so that the two halves cannot drift.
//
// It never imports messaging: Conn and ClientConn are all that it needs of a
// comm. Every request gets exactly one response; params are refused when they
// hold a field that is unknown, twice, or in another case.
package rpc

import "encoding/json"

// Target is the comm target that the resident serves.
const Target = "llama"

// ProtocolVersion is negotiated in comm_open; both ends must have the same.
const ProtocolVersion = 1

// MaxBuffer is the most bytes that one binary buffer carries.
const MaxBuffer = 64 << 20

// Message is one JSON-RPC 2.0 object, the data of a comm_msg: a request (ID and
// Method), a notification (Method alone) or a response (ID and Result or Error).
type Message struct {
	JSONRPC string          `json:"jsonrpc"` // "2.0"
	ID      *int64          `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// Tensor describes one binary buffer of the same comm message in its signed
// JSON, because HMAC does not cover buffers.
type Tensor struct {
	Buffer int    `json:"buffer"` // index among the message's buffers
	DType  string `json:"dtype"`  // "float32", "float16", "bfloat16", "int32", "int64"
	Shape  []int  `json:"shape"`
	Bytes  int64  `json:"bytes"`
	CRC32C uint32 `json:"crc32c"` // Castagnoli
}

// Open is the data of comm_open, from the client.
type Open struct {
	Protocol int        `json:"protocol"`
	Client   ClientInfo `json:"client"`
}

// ClientInfo says who opened the comm.
type ClientInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Host    string `json:"host"`
}

// Hello is the params of the server's first message, the notification
// "$/hello". Where versions differ the server sends "$/refused" with an Error
// as params instead, and closes the comm.
type Hello struct {
	Protocol int        `json:"protocol"`
	Server   ServerInfo `json:"server"`
	LeaseMS  int64      `json:"lease_ms"`
}

// ServerInfo says who answered.
type ServerInfo struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

// Notifications. Cancel travels on the control channel, so that it never waits
// behind an upload, and is remembered when it arrives before its request. A
// final response is kept until acknowledged or the client's lease ends; after a
// cut the client resumes its open ids and the server sends the finals that it
// holds, answers unknown ids with an error and leaves running ones to run.
const (
	MethodHello    = "$/hello"
	MethodRefused  = "$/refused"
	MethodProgress = "$/progress"      // server → client; params by method, all with "id"
	MethodCancel   = "$/cancelRequest" // CancelParams
	MethodAck      = "$/ack"           // IDsParams
	MethodResume   = "$/resume"        // IDsParams
)

// CancelParams names the request to cancel.
type CancelParams struct {
	ID int64 `json:"id"`
}

// IDsParams names requests.
type IDsParams struct {
	IDs []int64 `json:"ids"`
}
