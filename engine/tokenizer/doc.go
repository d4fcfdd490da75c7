// Package tokenizer turns text into token ids and back, exactly as the
// library that made the vocabulary does: `tokenizers` for tokenizer.json and
// byte-level GGUF vocabularies, `sentencepiece` for tokenizer.model and GGUF
// vocabularies of kind llama. It also renders chat dialogs (chat.go).
//
// It takes bytes and never opens a file. It never imports weights, engine or
// messaging.
//
// Caveats: a Go string may hold invalid UTF-8, which neither peer can be given.
// Byte-level BPE keeps such bytes as they are; SentencePiece replaces each by
// U+FFFD, as the C++ library does. UNIGRAM models and tiktoken files are
// refused by name.
package tokenizer
