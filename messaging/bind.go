package messaging

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// bind binds the socket of a channel and writes the port that it got into info.
// The listener removes its socket file when it is closed.
func bind(info *ConnInfo, ch Channel) (net.Listener, error) {
	if info.Transport == "ipc" {
		return bindIPC(info, ch)
	}
	network, addr := info.address(ch)
	// Go sets SO_REUSEADDR on Unix, so that a restarted kernel gets the ports
	// that its predecessor's connections still hold in TIME_WAIT.
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, &ConnError{
			Msg: fmt.Sprintf("cannot listen on %s for %s", addr, ch),
			Fix: "another process may hold the port: choose another one, or 0",
			Err: err,
		}
	}
	*info.port(ch) = ln.Addr().(*net.TCPAddr).Port
	return ln, nil
}

// bindIPC binds IP-port. Port 0 takes the first number that is free.
func bindIPC(info *ConnInfo, ch Channel) (net.Listener, error) {
	if port := info.Port(ch); port != 0 {
		return bindPath(fmt.Sprintf("%s-%d", info.IP, port), ch)
	}
	taken := map[int]bool{}
	for _, other := range channels {
		taken[info.Port(other)] = true
	}
	for port := 1; port <= 65535; port++ {
		if taken[port] {
			continue
		}
		ln, err := bindPath(info.IP+"-"+strconv.Itoa(port), ch)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err == nil {
			*info.port(ch) = port
		}
		return ln, err
	}
	return nil, &ConnError{Msg: "no free socket name under " + info.IP, Fix: "remove old sockets"}
}

// bindPath binds a socket file, in the place of one that nobody listens on any
// more.
func bindPath(path string, ch Channel) (net.Listener, error) {
	fail := func(msg, fix string, err error) (net.Listener, error) {
		return nil, &ConnError{Msg: fmt.Sprintf("%s for %s: %s", path, ch, msg), Fix: fix, Err: err}
	}
	if err := checkIPCPath(path); err != nil {
		return nil, err
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode().Type() != fs.ModeSocket {
			return fail("a file that is not a socket is in the way", "remove it, or choose another prefix", syscall.EADDRINUSE)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return fail("another process listens there", "stop it, or choose another prefix", syscall.EADDRINUSE)
		}
		if err := os.Remove(path); err != nil {
			return fail("the stale socket cannot be removed", "remove it", err)
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fail("cannot listen", "check that the folder exists and is yours", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return fail("cannot be made private", "", err)
	}
	ln.SetUnlinkOnClose(false)
	own, err := os.Lstat(path)
	if err != nil {
		ln.Close()
		return fail("cannot be examined", "", err)
	}
	return &ipcListener{ln, path, own}, nil
}

// ipcListener removes its socket file when it closes, unless another process
// has put its own there meanwhile.
type ipcListener struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
}

func (l *ipcListener) Close() error {
	if st, err := os.Lstat(l.path); err == nil && os.SameFile(st, l.own) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// prepareFolder makes the folder of ipc sockets, 0700, or warns when others may
// enter the one that is there.
func prepareFolder(info ConnInfo, log *slog.Logger) error {
	if info.Transport != "ipc" {
		return nil
	}
	dir := filepath.Dir(info.IP)
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return &ConnError{Msg: "the folder of the ipc sockets cannot be made", Fix: "choose another prefix", Err: err}
	}
	st, err := os.Stat(dir)
	if err != nil {
		return &ConnError{Msg: "the folder of the ipc sockets cannot be examined", Fix: "choose another prefix", Err: err}
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		log.Warn("messaging: others may enter the folder of the ipc sockets; the sockets themselves are private", "folder", dir, "mode", fmt.Sprintf("%04o", st.Mode().Perm()))
	}
	return nil
}

// checkBind refuses to listen where other machines could connect.
func checkBind(info ConnInfo, remote bool) error {
	if info.Transport != "tcp" || remote || info.IP == "localhost" {
		return nil
	}
	if ip := net.ParseIP(info.IP); ip != nil && ip.IsLoopback() {
		return nil
	}
	return &ConnError{
		Msg: fmt.Sprintf("ip %s is not a loopback address: messages would cross the network unencrypted", info.IP),
		Fix: "use 127.0.0.1 or transport ipc",
	}
}
