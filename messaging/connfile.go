package messaging

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// SignatureScheme is the only scheme that is signed or accepted.
const SignatureScheme = "hmac-sha256"

// Limits of a connection file.
const (
	maxConnFile   = 64 << 10
	maxIPCPath    = 107 // bytes of sun_path on Linux without its NUL
	maxIPCPathMac = 104
)

// ConnInfo is a connection file: where the five sockets of a kernel are, and
// the key that signs its messages. Over tcp an endpoint is IP:port; over ipc IP
// is a path prefix and an endpoint the socket file IP-port.
type ConnInfo struct {
	Transport       string `json:"transport"` // "tcp" or "ipc"
	IP              string `json:"ip"`
	ShellPort       int    `json:"shell_port"`
	IOPubPort       int    `json:"iopub_port"`
	StdinPort       int    `json:"stdin_port"`
	ControlPort     int    `json:"control_port"`
	HBPort          int    `json:"hb_port"`
	SignatureScheme string `json:"signature_scheme"`
	Key             string `json:"key"`
	KernelName      string `json:"kernel_name,omitempty"`
}

// ConnError says what is wrong with a connection file or with the place that
// it names.
type ConnError struct {
	File string // "" when the ConnInfo came from elsewhere
	Msg  string
	Fix  string
	Err  error
}

func (e *ConnError) Error() string {
	s := "messaging: "
	if e.File != "" {
		s += "connection file " + e.File + ": "
	}
	s += e.Msg
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, if there is one.
func (e *ConnError) Unwrap() error { return e.Err }

// Hint says what a person can do about it.
func (e *ConnError) Hint() string { return e.Fix }

// NewConnInfo is a ConnInfo with a fresh key and all ports 0: Listen chooses
// them.
func NewConnInfo(transport, ip string) ConnInfo {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand crashes the process instead
	return ConnInfo{Transport: transport, IP: ip, SignatureScheme: SignatureScheme, Key: hex.EncodeToString(key[:])}
}

// ReadConnFile reads and checks a connection file. The warnings name what
// should be otherwise but does not stop a kernel: a mode that lets others read
// the key, a file of another owner.
func ReadConnFile(path string) (info ConnInfo, warnings []string, err error) {
	fail := func(msg, fix string, err error) (ConnInfo, []string, error) {
		return ConnInfo{}, nil, &ConnError{File: path, Msg: msg, Fix: fix, Err: err}
	}
	f, err := openRegular(path)
	if err != nil {
		return fail("cannot be opened", "pass the file that Jupyter or `llama-go serve` wrote", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConnFile+1))
	if err != nil {
		return fail("cannot be read", "", err)
	}
	if len(data) > maxConnFile {
		return fail(fmt.Sprintf("is larger than %d bytes", maxConnFile), "", nil)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return fail("is not a JSON object with the fields of a connection file", "", err)
	}
	if err := info.check(); err != nil {
		var c *ConnError
		if errors.As(err, &c) {
			c.File = path
		}
		return ConnInfo{}, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return fail("cannot be examined", "", err)
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		warnings = append(warnings, fmt.Sprintf("connection file %s has mode %04o: others can read the key that signs messages; chmod 600 it", path, st.Mode().Perm()))
	}
	if uid, ok := fileOwner(st); ok && uid != os.Getuid() {
		warnings = append(warnings, fmt.Sprintf("connection file %s belongs to uid %d, this is uid %d: whoever owns it knows the key", path, uid, os.Getuid()))
	}
	return info, warnings, nil
}

// openRegular opens a file and refuses anything but a regular one, before a
// FIFO can block the open.
func openRegular(path string) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a regular file (%s)", st.Mode().Type())}
	}
	return os.Open(path)
}

// Write writes the file with mode 0600, whole or not at all. It replaces an
// existing file.
func (c ConnInfo) Write(path string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	wrap := func(err error) error {
		return &ConnError{File: path, Msg: "cannot be written", Fix: "check that the folder exists and has room", Err: err}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".connection-*") // mode 0600
	if err != nil {
		return wrap(err)
	}
	defer os.Remove(f.Name()) // fails once renamed
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return wrap(err)
	}
	return nil
}

// Port is the port of a channel.
func (c ConnInfo) Port(ch Channel) int {
	if p := c.port(ch); p != nil {
		return *p
	}
	return 0
}

func (c *ConnInfo) port(ch Channel) *int {
	switch ch {
	case Shell:
		return &c.ShellPort
	case IOPub:
		return &c.IOPubPort
	case Stdin:
		return &c.StdinPort
	case Control:
		return &c.ControlPort
	case Heartbeat:
		return &c.HBPort
	}
	return nil
}

// address returns network and address for net.Listen and net.Dial.
func (c ConnInfo) address(ch Channel) (network, addr string) {
	port := strconv.Itoa(c.Port(ch))
	if c.Transport == "ipc" {
		return "unix", c.IP + "-" + port
	}
	return "tcp", net.JoinHostPort(c.IP, port)
}

var channels = []Channel{Shell, IOPub, Stdin, Control, Heartbeat}

// check refuses what no kernel can serve.
func (c ConnInfo) check() error {
	bad := func(fix, format string, a ...any) error {
		return &ConnError{Msg: fmt.Sprintf(format, a...), Fix: fix}
	}
	if c.SignatureScheme != SignatureScheme && (c.SignatureScheme != "" || c.Key != "") {
		return bad("use "+SignatureScheme, "signature_scheme is %q, expected %q", c.SignatureScheme, SignatureScheme)
	}
	switch c.Transport {
	case "tcp":
		if net.ParseIP(c.IP) == nil && c.IP != "localhost" {
			return bad("use 127.0.0.1", "ip is %q, expected an IP address", c.IP)
		}
	case "ipc":
		if c.IP == "" {
			return bad("give the path prefix of the sockets", "ip is empty, expected a path prefix for ipc")
		}
	default:
		return bad("use tcp or ipc", "transport is %q, expected tcp or ipc", c.Transport)
	}
	used := map[int]Channel{}
	for _, ch := range channels {
		p := c.Port(ch)
		if p < 0 || p > 65535 {
			return bad("", "%s_port is %d, expected 0 to 65535", ch, p)
		}
		if other, ok := used[p]; ok && p != 0 {
			return bad("give each socket its own port", "%s_port and %s_port are both %d", other, ch, p)
		}
		used[p] = ch
		if c.Transport == "ipc" {
			if err := checkIPCPath(c.IP + "-" + strconv.Itoa(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkIPCPath refuses a socket path that the system would cut or refuse.
func checkIPCPath(path string) error {
	limit := maxIPCPath
	if runtime.GOOS == "darwin" {
		limit = maxIPCPathMac
	}
	if len(path) > limit {
		return &ConnError{
			Msg: fmt.Sprintf("socket path %q has %d bytes, at most %d fit", path, len(path), limit),
			Fix: "use a shorter folder, or transport tcp",
		}
	}
	return nil
}
