//go:build amd64 && !purego

package peak

// The loops. Which of them the processor has is the caller's to know.
var (
	FMA512   = Loop{24 * 16 * 2, fma512}   // VFMADD231PS zmm
	Pairs512 = Loop{24 * 32 * 2, pairs512} // VDPBF16PS zmm
	Bytes512 = Loop{24 * 64 * 2, bytes512} // VPDPBUSD zmm
	FMA256   = Loop{12 * 8 * 2, fma256}    // VFMADD231PS ymm
	Bytes256 = Loop{8 * 32 * 2, bytes256}  // VPMADDUBSW, VPMADDWD, VPADDD ymm
)

// Read512 reads p by 64 bytes, and Read256 by 32; what remains below 512 bytes
// is left out.
func Read512(p []byte) { read(read512, p, 512) }

// Read256 is described at Read512.
func Read256(p []byte) { read(read256, p, 256) }
