// Package tokenizer turns text into token ids and back, exactly as the
// library that made the vocabulary does: `tokenizers` for tokenizer.json and
// byte-level GGUF vocabularies, `sentencepiece` for tokenizer.model and GGUF
// vocabularies of kind llama. It also renders chat dialogs (chat.go).
//
// It takes bytes and never opens a file. It never imports weights, engine or
// messaging.
//
// Caveats: a Go string may hold invalid UTF-8, which a Python string cannot.
// BPE keeps such bytes as they are; a SentencePiece model replaces each by U+FFFD,
// as the C++ library does when it is given bytes. In decoding, a run of byte
// tokens that is partly broken keeps the characters that are whole, as in
// sentencepiece; `tokenizers` replaces the whole run, so that a stream could show
// nothing before the run ends. NFC follows the Unicode tables of golang.org/x/text.
// UNIGRAM models, tiktoken files, other normalization rules and unknown split
// patterns are refused by name.
package tokenizer
