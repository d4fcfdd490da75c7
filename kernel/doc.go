// Package kernel is what llama-go means to its users: the cells of the Jupyter
// kernel, and the resident that holds the models for all of them.
//
// A Host is all that a cell may ask of an engine. The resident (Serve) is one
// process of a user and binary that serves the methods of kernel/rpc over
// Jupyter comms; fronts and notebooks are its clients. service*.go is what the
// methods do, registry*.go shares loaded models among clients, resident*.go is
// the process: finding or starting it, its files, leases and idle end.
// LocalHost is the same service without comms, ConnectHost a client of the
// resident. Run is what Jupyter starts: sockets, a front that turns cells into
// calls of a Host, and nothing of the engine.
//
// It imports messaging, engine, weights and kernel/rpc, never engine/cpu: a
// backend is handed in. Nothing here logs prompts or keys.
package kernel
