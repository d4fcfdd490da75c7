//go:build arm64 && !purego

package peak

// The loops. Which of them the processor has is the caller's to know.
var (
	FMANEON = Loop{24 * 4 * 2, fmaNEON} // FMLA
	SDOT    = Loop{24 * 16 * 2, sdot}
	USDOT   = Loop{24 * 16 * 2, usdot}
	SMULL   = Loop{16 * 8 * 2, smull} // SMULL, SMLAL, SADALP
)

// ReadNEON reads p by 128 bytes.
func ReadNEON(p []byte) { read(readNEON, p, 128) }
