package messaging

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestBenchJupyter prints the round trips of testdata/bench.py when
// LLAMA_GO_BENCH is set:
//
//	LLAMA_GO_BENCH=1 go test -count=1 -v -run TestBenchJupyter ./messaging/
func TestBenchJupyter(t *testing.T) {
	if os.Getenv("LLAMA_GO_BENCH") == "" {
		t.Skip("a measurement: LLAMA_GO_BENCH=1 runs it")
	}
	transports(t, func(t *testing.T, transport string) {
		s, _ := testServer(t, transport)
		file := filepath.Join(t.TempDir(), "kernel.json")
		if err := s.Info().Write(file); err != nil {
			t.Fatal(err)
		}
		runPython(t, nil, "bench.py", file)
	})
}

// BenchmarkCommEcho is a comm message there and back between Client and Server
// of one process.
func BenchmarkCommEcho(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"small", 4}, {"64MB", 64 << 20}} {
		b.Run(bm.name, func(b *testing.B) {
			s, _ := testServer(b, "ipc")
			c := testClient(b, s)
			openComm(b, c, "bench")
			buf := make([]byte, bm.size)
			b.SetBytes(int64(2 * bm.size))
			for b.Loop() {
				if _, err := c.Send(Shell, "comm_msg", map[string]any{"comm_id": "bench", "data": map[string]any{}}, nil, buf); err != nil {
					b.Fatal(err)
				}
				wait(b, c, "echo", func(in Incoming) bool { return in.Msg.Header.MsgType == "comm_msg" })
			}
		})
	}
}

// BenchmarkForged is a message with a wrong signature, dropped, pauses of the
// connection included.
func BenchmarkForged(b *testing.B) {
	var one bytes.Buffer
	m := signed(fuzzInfo, "execute_request", map[string]any{"code": "x"})
	m[1][0] ^= 1
	newPacket(m).bufs.WriteTo(&one)
	rc := &receiver{codec: newCodec(fuzzInfo.Key), budget: newBudget(), drops: &drops{log: discard}, maxJSON: maxJSON, maxBuffer: maxShellBuffer}
	p := newPeer(&memConn{in: bytes.NewReader(bytes.Repeat(one.Bytes(), b.N))}, maxQueue)
	b.ResetTimer()
	err := rc.read(p, func(*Message) error { b.Error("accepted"); return nil })
	if n := rc.drops.count.Load(); n != int64(b.N) {
		b.Errorf("%d of %d dropped, then %v", n, b.N, err)
	}
}
