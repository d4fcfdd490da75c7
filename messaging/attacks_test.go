package messaging

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// An attack is what a local process without the key does to one socket. It may
// leave connections open; the test closes them.
type attack struct {
	name     string
	channels []Channel // nil: all five
	run      func(a *attacker)
}

type attacker struct {
	t     testing.TB
	info  ConnInfo
	ch    Channel
	many  int // connections or repetitions
	conns []net.Conn
}

// dial opens a connection; nil when the kernel has no place.
func (a *attacker) dial() net.Conn {
	network, addr := a.info.address(a.ch)
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return nil
	}
	a.conns = append(a.conns, c)
	return c
}

// peer opens a connection and writes greeting and READY, without waiting.
func (a *attacker) peer() net.Conn {
	c := a.dial()
	a.write(c, append(greeting(), readyFrame(handshakeInfo{socket: clientType(a.ch), identity: "attacker"})...))
	return c
}

// write writes and does not care: the kernel may have closed the connection.
func (a *attacker) write(c net.Conn, data []byte) bool {
	if c == nil {
		return false
	}
	c.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, err := c.Write(data)
	return err == nil
}

// repeat writes data again and again for a while or until the kernel closes.
func (a *attacker) repeat(c net.Conn, data []byte, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && a.write(c, data); {
	}
}

var noConns = []Channel{Shell, Control, Stdin}

func attacks() []attack {
	eachPeer := func(data []byte) func(*attacker) {
		return func(a *attacker) {
			for range 4 {
				a.write(a.peer(), data)
			}
		}
	}
	eachDial := func(data []byte) func(*attacker) {
		return func(a *attacker) {
			for range a.many {
				a.write(a.dial(), data)
			}
		}
	}
	unsigned := func() []byte {
		var b []byte
		for i, f := range [][]byte{delimiter, bytes.Repeat([]byte("0"), 64), []byte("{}"), []byte("{}"), []byte("{}"), bytes.Repeat([]byte(" "), 8<<10)} {
			flags := byte(flagMore)
			if i == 5 {
				flags = 0
			}
			b = append(appendFrameHeader(b, flags, len(f)), f...)
		}
		return b
	}
	return []attack{
		{"garbage", nil, func(a *attacker) {
			for range a.many {
				junk := make([]byte, 200)
				rand.Read(junk)
				a.write(a.dial(), junk)
			}
		}},
		{"truncated READY name", nil, eachDial(append(greeting(), command("READY", []byte{200})...))},
		{"truncated READY value", nil, eachDial(append(greeting(), command("READY", []byte("\x0bSocket-Type\x7f\xff\xff\xffDEALER"))...))},
		{"READY of 2^62", nil, eachDial(append(greeting(), promise(flagCommand, 1<<62)...))},
		{"frame of 2^62", nil, eachPeer(promise(0, 1<<62))},
		{"frame of 1 TiB", nil, eachPeer(promise(0, 1<<40))},
		{"frames of 8 GiB", nil, eachPeer(promise(flagMore, 8<<30))},
		{"phantom heap", nil, func(a *attacker) {
			for range a.many {
				a.write(a.peer(), promise(0, map[Channel]uint64{Shell: maxJSON, Control: maxJSON, Stdin: maxStdinFrame, IOPub: maxSubscription, Heartbeat: maxHeartbeat}[a.ch]))
			}
		}},
		{"JSON held back", noConns, func(a *attacker) {
			for range a.many { // 1 MiB each, the last byte never comes
				c := a.peer()
				a.write(c, promise(flagMore, maxStdinFrame))
				a.write(c, make([]byte, maxStdinFrame-1))
			}
		}},
		{"endless MORE", nil, func(a *attacker) {
			a.repeat(a.peer(), bytes.Repeat(append([]byte{flagMore, 250}, make([]byte, 250)...), 200), time.Second)
		}},
		{"silent", nil, eachDial(nil)},
		{"63 bytes of greeting", nil, eachDial(greeting()[:63])},
		{"cut in a frame", nil, func(a *attacker) {
			for range a.many {
				if c := a.peer(); a.write(c, append(promise(0, 1000), "abc"...)) {
					c.Close()
				}
			}
		}},
		{"closed cleanly", nil, func(a *attacker) {
			for range a.many {
				if c := a.peer(); c != nil {
					c.Close()
				}
			}
		}},
		{"failed handshakes", nil, func(a *attacker) {
			for range a.many {
				a.write(a.dial(), append(greeting(), command("ERROR", []byte("\x01x"))...))
			}
		}},
		{"same identity", nil, func(a *attacker) {
			for range a.many {
				a.peer()
			}
		}},
		{"PINGs without reading", nil, func(a *attacker) {
			a.repeat(a.peer(), bytes.Repeat(command("PING", []byte("\x00\x100123456789abcdef")), 1000), 2*time.Second)
		}},
		{"flood without signatures", nil, func(a *attacker) {
			a.repeat(a.peer(), bytes.Repeat(unsigned(), 20), time.Second)
		}},
		{"stuck reader", []Channel{Heartbeat, IOPub}, func(a *attacker) {
			data := append([]byte{flagMore, 0}, append(appendFrameHeader(nil, 0, 60000), make([]byte, 60000)...)...)
			if a.ch == IOPub {
				data = bytes.Repeat([]byte("\x00\x01\x01"), 10000)
			}
			a.repeat(a.peer(), data, 2*time.Second)
		}},
		{"a million subscriptions", []Channel{IOPub}, func(a *attacker) {
			c := a.peer()
			var b []byte
			for i := range 1_000_000 {
				topic := "\x01" + strconv.Itoa(i)
				if b = append(appendFrameHeader(b, 0, len(topic)), topic...); len(b) > 1<<16 {
					if !a.write(c, b) {
						return
					}
					b = b[:0]
				}
			}
		}},
		{"stray frames", []Channel{IOPub, Stdin}, func(a *attacker) {
			for range a.many {
				a.write(a.peer(), []byte("\x00\x05hello"))
			}
		}},
	}
}

// victim is a kernel in a process of its own.
type victim struct {
	t    testing.TB
	info ConnInfo
	cmd  *exec.Cmd
}

func startVictim(t testing.TB, transport string) *victim {
	t.Helper()
	info := testInfo(t, transport)
	var probes []net.Listener
	for i, ch := range channels { // as a launcher chooses
		*info.port(ch) = i + 1
		if transport == "tcp" {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			*info.port(ch) = ln.Addr().(*net.TCPAddr).Port
			probes = append(probes, ln) // all open until the last one has its port
		}
	}
	for _, ln := range probes {
		ln.Close()
	}
	file := filepath.Join(t.TempDir(), "kernel.json")
	if err := info.Write(file); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{t, info, exec.Command(binary)}
	v.cmd.Env = append(os.Environ(), kernelFileEnv+"="+file)
	var stderr bytes.Buffer
	v.cmd.Stderr = &stderr
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.cmd.Process.Kill()
		v.cmd.Wait()
		if bytes.Contains(stderr.Bytes(), []byte("panic")) {
			t.Errorf("kernel: %s", stderr.Bytes())
		}
	})
	return v
}

// listening waits until the kernel listens.
func (v *victim) listening() {
	v.t.Helper()
	for try := 0; ; try++ {
		network, addr := v.info.address(Heartbeat)
		c, err := net.Dial(network, addr)
		if err == nil {
			c.Close()
			return
		}
		if try == 300 {
			v.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// honest does what a client does, on every socket, and returns the kernel's
// own counts.
func (v *victim) honest() map[string]int {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	c, err := Dial(ctx, v.info, ClientOptions{})
	if err != nil {
		v.t.Fatalf("honest client: %v", err)
	}
	defer c.Close()
	if err := c.Subscribe(ctx, ""); err != nil {
		v.t.Fatalf("honest client: %v", err)
	}
	id, err := c.Send(Shell, "execute_request", map[string]any{"code": "stats", "store_history": false}, nil)
	if err != nil {
		v.t.Fatalf("honest client: %v", err)
	}
	in := wait(v.t, c, "execute_result", func(in Incoming) bool {
		return in.Msg.Header.MsgType == "execute_result" && in.Msg.Parent.MsgID == id
	})
	hb := rawPeer(v.t, v.info, Heartbeat, "")
	defer hb.Close()
	hb.send(nil, []byte("beat"))
	if m, err := hb.message(); err != nil || len(m) != 2 || string(m[1]) != "beat" {
		v.t.Fatalf("heartbeat: %q, %v", m, err)
	}
	stdin := rawPeer(v.t, v.info, Stdin, "")
	defer stdin.Close()
	stdin.Write(command("PING", []byte{0, 1}))
	if _, m, err := stdin.frame(); err != nil || string(m) != "\x04PONG" {
		v.t.Fatalf("stdin: %q, %v", m, err)
	}
	var content struct {
		Data struct {
			Stats map[string]int `json:"application/json"`
		}
	}
	if err := json.Unmarshal(in.Msg.Content, &content); err != nil {
		v.t.Fatal(err)
	}
	return content.Data.Stats
}

// rss is the kernel's resident memory and its peak since the last reset, in
// bytes; 0 where /proc is not there.
func (v *victim) rss() (now, peak int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "VmRSS:" || f[0] == "VmHWM:") {
			n, _ := strconv.Atoi(f[1])
			if f[0] == "VmRSS:" {
				now = n << 10
			} else {
				peak = n << 10
			}
		}
	}
	return now, peak
}

func (v *victim) resetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", v.cmd.Process.Pid), []byte("5"), 0)
}

// TestAttacks runs every attack against every socket: afterwards an honest
// client is served on all five within 3 s, memory has stayed within 64 MiB of
// the base, and goroutines and file descriptors are back within 10 s. With
// LLAMA_GO_ATTACKS=long each attack comes in its long form.
func TestAttacks(t *testing.T) {
	many := 60
	if os.Getenv("LLAMA_GO_ATTACKS") == "long" {
		many = 2000
	}
	transports(t, func(t *testing.T, transport string) {
		v := startVictim(t, transport)
		v.listening()
		for range 3 {
			v.honest()
		}
		base := v.honest()
		baseRSS, _ := v.rss()
		worst := 0
		for _, at := range attacks() {
			on := at.channels
			if on == nil {
				on = channels
			}
			for _, ch := range on {
				t.Run(at.name+" "+string(ch), func(t *testing.T) {
					v := &victim{t, v.info, v.cmd}
					v.resetPeak()
					a := &attacker{t: t, info: v.info, ch: ch, many: many}
					at.run(a)
					v.honest()
					for _, c := range a.conns {
						c.Close()
					}
					var now map[string]int
					for end := time.Now().Add(10 * time.Second); ; {
						now = v.honest()
						if now["goroutines"] <= base["goroutines"] && now["fds"] <= base["fds"] {
							break
						}
						if time.Now().After(end) {
							t.Errorf("goroutines and fds are %v, before the attack %v", now, base)
							break
						}
						time.Sleep(20 * time.Millisecond)
					}
					_, peak := v.rss()
					if worst = max(worst, peak-baseRSS); peak-baseRSS > 64<<20 && !raceEnabled {
						t.Errorf("memory rose by %d MiB over the base of %d MiB", (peak-baseRSS)>>20, baseRSS>>20)
					}
				})
			}
		}
		t.Logf("base %d MiB, worst rise %d MiB", baseRSS>>20, worst>>20)
	})
}

// TestHonestWhileAttacked measures an honest client's round trips while others
// flood shell without signatures, storm every socket with connections and churn
// subscriptions without reading.
func TestHonestWhileAttacked(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		v := startVictim(t, transport)
		v.listening()
		c, err := Dial(background(t), v.info, ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		trip := func() time.Duration {
			start := time.Now()
			id, err := c.Send(Shell, "kernel_info_request", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			wait(t, c, "reply", isReply(id))
			return time.Since(start)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, at := range attacks() {
			for ch, name := range map[Channel]string{Shell: "flood without signatures", Control: "garbage", Heartbeat: "silent", IOPub: "stuck reader"} {
				if at.name != name {
					continue
				}
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						a := &attacker{t: t, info: v.info, ch: ch, many: 20}
						at.run(a)
						for _, conn := range a.conns {
							conn.Close()
						}
					}
				})
			}
		}
		var trips []time.Duration
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			trips = append(trips, trip())
		}
		close(stop)
		wg.Wait()
		slices.Sort(trips)
		median, p99 := trips[len(trips)/2], trips[len(trips)*99/100]
		t.Logf("%d round trips: median %v, p99 %v", len(trips), median, p99)
		if median > 500*time.Millisecond && !raceEnabled { // attackers and kernel share the processors here
			t.Errorf("median round trip %v", median)
		}
	})
}
