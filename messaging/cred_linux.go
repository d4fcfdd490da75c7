package messaging

import (
	"net"

	"golang.org/x/sys/unix"
)

// credentials returns uid and pid of the process at the other end of a Unix
// socket, -1 and 0 for any other connection.
func credentials(conn net.Conn) (uid, pid int) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, 0
	}
	uid = -1
	_ = raw.Control(func(fd uintptr) {
		if u, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid, pid = int(u.Uid), int(u.Pid)
		}
	})
	return uid, pid
}
