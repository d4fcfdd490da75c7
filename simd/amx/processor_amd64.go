//go:build amd64 && !purego

package amx

import (
	"errors"
	"sync"
	"unsafe"
)

// Enable asks the system once for the right to use tiles, which all threads of the
// process then have, and returns why they cannot be used. Nothing is tried out: the
// first tile load of a process without the right is its end.
var Enable = sync.OnceValue(func() error {
	if err := processor().usable(); err != nil {
		return err
	}
	return permission()
})

// ErrNone is Enable's error on a processor that does not have AMX.
var ErrNone = errors.New("the processor has no AMX with BF16 and INT8")

// facts are what a processor and its system say of tiles.
type facts struct {
	leaves  uint32    // the highest leaf of CPUID
	osxsave bool      // XCR0 may be read
	xcr0    uint32    // the state that the system saves
	edx7    uint32    // leaf 7
	palette [4]uint32 // leaf 0x1d, palette 1
}

func processor() (f facts) {
	var r [4]uint32
	leaf := func(leaf, sub int) [4]uint32 {
		readCPUID(unsafe.Pointer(&r), leaf, sub)
		return r
	}
	f.leaves = leaf(0, 0)[0]
	f.osxsave = leaf(1, 0)[2]&(1<<27) != 0
	if f.osxsave {
		var x [2]uint32
		readXCR0(unsafe.Pointer(&x))
		f.xcr0 = x[0]
	}
	if f.leaves >= 7 {
		f.edx7 = leaf(7, 0)[3]
	}
	if f.leaves >= 0x1d {
		f.palette = leaf(0x1d, 1)
	}
	return f
}

// usable checks what the kernels need, by Intel's manual, volume 1, chapter 18.
func (f facts) usable() error {
	const (
		features = 1<<22 | 1<<24 | 1<<25 // AMX-BF16, AMX-TILE, AMX-INT8
		tiles    = 1<<17 | 1<<18         // configuration, data
		vectors  = 1<<1 | 1<<2 | 7<<5    // SSE, AVX, AVX-512
	)
	switch {
	case f.edx7&features != features:
		return ErrNone
	case !f.osxsave || f.xcr0&(tiles|vectors) != tiles|vectors:
		return errors.New("the system does not save the state of tiles")
	case f.leaves < 0x1d || f.palette[0]>>16 != 1024 || f.palette[1] != 8<<16|64 || f.palette[2]&0xffff != 16:
		return errors.New("the tiles are not 8 of 16 rows of 64 bytes")
	}
	return nil
}
