// Package weights opens the files of a model: safetensors (one file or shards
// with an index), GGUF, config.json or params.json, generation_config.json,
// tokenizer files and chat templates.
//
// It owns the checks of everything that comes from those files and the naming
// maps between Meta, Hugging Face and GGUF. Every byte is untrusted: integers
// go through internal/checked, counts are bounded by the bytes that are left
// before anything is allocated, JSON is read by a strict scanner, only regular
// files are opened, and no name or link inside a folder leads out of it (a
// tokenizer may lie one level up). Open returns either a Checkpoint that has
// every tensor its config implies, in the right shape, or an *Error that names
// the file and the place, with nothing left open or mapped.
//
// It hands out typed views of mapped files and converts nothing; decoding is
// simd's. It never imports engine, messaging or kernel.
//
// Caveats: a View dies with its Source's Close. Its Data starts wherever the
// file puts it: safetensors promises no alignment. A file that is truncated
// after Open makes a read of its View fault (SIGBUS): readers set
// debug.SetPanicOnFault and recover.
package weights
