//go:build amd64 && !purego

package amx

import (
	"fmt"
	"syscall"
)

// permission asks for tile data, a state that Linux gives to processes that want
// it (Documentation/arch/x86/xstate.rst).
func permission() error {
	const (
		requestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData          = 18
	)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, requestPermission, tileData, 0); errno != 0 {
		return fmt.Errorf("the system does not grant the state of tiles: %w", errno)
	}
	return nil
}
