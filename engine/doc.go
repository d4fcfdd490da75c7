// Package engine turns a loaded model into text: it owns the Engine (a model,
// immutable), the Session (ids and a block table for each row), the loop that
// lets requests take turns, sampling, log-probabilities and the memory guard.
// What a forward pass computes is behind the Backend interface.
//
// One goroutine per Engine drives the backend. Each turn is one Step of one
// request: its rows together, prompts in chunks of at most 256 positions. Tokens
// reach the caller's emit on the caller's own goroutine, so a slow reader delays
// nobody else.
//
// A row's tokens depend on its ids, its seed and the sampling parameters alone:
// not on the other rows, the chunking, the number of threads, what the session
// held before or where it was interrupted.
//
// The package never imports messaging, kernel or engine/cpu. Logits that a
// backend returns die with its next Step; views of weights die with Close.
package engine
