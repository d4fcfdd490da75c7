package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// TestEveryMethodIsServed compares what is registered with the golden messages.
func TestEveryMethodIsServed(t *testing.T) {
	var srv rpc.Server[*client]
	testClient(t).svc.methods(&srv)
	entries, err := os.ReadDir(filepath.Join("rpc", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	var golden []string
	for _, e := range entries {
		switch name := strings.TrimSuffix(e.Name(), ".json"); name {
		case "comm_open", "cancelRequest", "ack", "resume", "error": // no requests
		default:
			golden = append(golden, name)
		}
	}
	if got := srv.Methods(); !slices.Equal(got, golden) {
		t.Errorf("served are %v, golden messages are of %v", got, golden)
	}
}

func TestCloseFreesAll(t *testing.T) {
	c := testClient(t)
	m := newTransformer(t, c, tinyConfig(), "float32")
	logitsOf(t, c, m, []int32{1, 2})
	u, err := c.beginState(rpc.ModelRef{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	if err := c.putState(rpc.PutParams{Upload: u.Upload, Key: "norm.weight", DType: "float32", Shape: []int{32}, Data: rpc.Describe(0, "uint8", []int{64}, data)}, [][]byte{data}); err != nil {
		t.Fatal(err)
	}
	if st := c.svc.stats(); st.ResultBytes == 0 || st.KVBytes == 0 || c.svc.promised.Load() == 0 {
		t.Fatalf("nothing is held: %+v", st)
	}
	c.close()
	if st := c.svc.stats(); st.ResultBytes != 0 || st.KVBytes != 0 || c.svc.promised.Load() != 0 {
		t.Errorf("left behind: %+v, %d promised", st, c.svc.promised.Load())
	}
	if ps := c.svc.ps(); len(ps.Models)+len(ps.Clients) != 0 {
		t.Errorf("left behind: %+v", ps)
	}
	// A gone client's handles are refused, not a crash.
	if _, err := c.openSession(rpc.SessionParams{Model: m}); err == nil {
		t.Error("a session on a gone client's model")
	}
	if _, err := c.newModel(rpc.NewParams{Config: tinyConfig(), Precision: "exact"}); err == nil {
		t.Error("a model for a gone client")
	}
}
