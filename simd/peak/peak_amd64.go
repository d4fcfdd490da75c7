//go:build amd64 && !purego

package peak

import "unsafe"

// The loops. Which of them the processor has is the caller's to know.
var (
	FMA512   = Loop{24 * 16 * 2, fma512}   // VFMADD231PS zmm
	Pairs512 = Loop{24 * 32 * 2, pairs512} // VDPBF16PS zmm
	Bytes512 = Loop{24 * 64 * 2, bytes512} // VPDPBUSD zmm
	FMA256   = Loop{12 * 8 * 2, fma256}    // VFMADD231PS ymm
	Bytes256 = Loop{8 * 32 * 2, bytes256}  // VPMADDUBSW, VPMADDWD, VPADDD ymm
)

// The loops of AMX tiles. The system must have been asked for them.
var (
	AMXPairs = Loop{4 * 8192 * 2, func(n int) { amxPairs(n, unsafe.Pointer(&tileData)) }}  // TDPBF16PS
	AMXBytes = Loop{4 * 16384 * 2, func(n int) { amxBytes(n, unsafe.Pointer(&tileData)) }} // TDPBUSD
)

// tileData is a configuration of eight tiles of 16 rows of 64 bytes, and values
// that are no zeros: those would cost less power.
var tileData = func() (b [64 + 1024]byte) {
	b[0] = 1 // palette
	for t := range 8 {
		b[16+2*t], b[48+t] = 64, 16
	}
	for i := 64; i < len(b); i += 2 {
		b[i], b[i+1] = byte(37*i), 0x3c|byte(i>>1&1) // bfloat16 about 0.01 and 0.04
	}
	return b
}()

// Read512 reads p by 64 bytes, and Read256 by 32; what remains below 512 bytes
// is left out.
func Read512(p []byte) { read(read512, p, 512) }

// Read256 is described at Read512.
func Read256(p []byte) { read(read256, p, 256) }
