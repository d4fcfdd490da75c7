//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package simd

// bigPage is no page's size here: memory begins at some page, 16 KB at most.
const bigPage = 16 << 10

// adviseBigPages has no advice: FreeBSD makes big pages by itself, macOS has none
// on arm64.
func adviseBigPages([]byte) {}
