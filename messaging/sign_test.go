package messaging

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSignatures compares with jupyter_client's (testdata/signatures.py), and
// runs each vector through the receiving side.
func TestSignatures(t *testing.T) {
	data, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Key       string
		Frames    []string
		Signature string
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 25 {
		t.Fatalf("%d vectors, want 25", len(rows))
	}
	for i, r := range rows {
		frames := [][]byte{delimiter, []byte(r.Signature)}
		for _, f := range r.Frames {
			frames = append(frames, []byte(f))
		}
		if got := (signer{[]byte(r.Key)}).sign(frames[2:]...); got != r.Signature {
			t.Errorf("vector %d: got %s, want %s", i, got, r.Signature)
		}
		c := newCodec(r.Key)
		if err := c.check(slabOf(t, frames), 0); err != nil {
			t.Errorf("vector %d: %v", i, err)
		}
		for at := range frames[1:] { // one bit anywhere is enough
			bad := newCodec(r.Key)
			frames[1+at][len(frames[1+at])/2] ^= 1
			if err := bad.check(slabOf(t, frames), 0); err != ErrSignature {
				t.Errorf("vector %d with frame %d changed: %v", i, at, err)
			}
			frames[1+at][len(frames[1+at])/2] ^= 1
		}
		if err := c.check(slabOf(t, frames), 0); err != ErrReplayed {
			t.Errorf("vector %d again: %v", i, err)
		}
	}
}

// slabOf is the frames as they lie in a slab after they came in.
func slabOf(t testing.TB, frames [][]byte) *slab {
	t.Helper()
	s := &slab{}
	for _, f := range frames {
		r := &frameReader{buf: f, w: len(f)}
		if err := s.read(r, int64(len(f)), func(int) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSlabReturnsFrames(t *testing.T) {
	var want []string
	var frames [][]byte
	for _, n := range []int{0, 1, smallChunk - 1, 0, smallChunk, 3, largeChunk, largeChunk + 1, 3 * largeChunk} {
		f := strings.Repeat(string(rune('a'+len(want))), n)
		want = append(want, f)
		frames = append(frames, []byte(f))
	}
	s := slabOf(t, frames)
	for range 2 {
		for i, f := range s.frames() {
			if string(f) != want[i] {
				t.Errorf("frame %d has %d bytes, want %d of %.1q", i, len(f), len(want[i]), want[i])
			}
		}
		if _, ok := s.frame(4, 10); ok {
			t.Error("a long frame passed as a short one")
		}
	}
	s.reset()
	if len(s.frames()) != 0 || s.size != 0 {
		t.Error("reset left something")
	}
}

// TestReplaySet forgets the oldest first, and only what was added.
func TestReplaySet(t *testing.T) {
	sum := func(i int) (s [sha256.Size]byte) { binary.BigEndian.PutUint64(s[:], uint64(i)); return s }
	r := newReplaySet(100)
	for i := range 250 {
		if !r.add(sum(i)) {
			t.Fatalf("%d is new", i)
		}
		if r.add(sum(max(0, i-99))) {
			t.Fatalf("%d was forgotten at %d", max(0, i-99), i)
		}
	}
	if !r.add(sum(149)) {
		t.Error("149 is remembered beyond the size")
	}
	if len(r.seen) != 100 || len(r.ring) != 100 {
		t.Errorf("%d and %d remembered, want 100", len(r.seen), len(r.ring))
	}
}

// TestDate has exactly six digits, in UTC.
func TestDate(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 120_000_999, time.FixedZone("x", 3600))
	if got, want := Date(at), "2026-01-02T02:04:05.120000Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
