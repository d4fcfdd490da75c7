package pure

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/x448/float16"
)

// Every half-precision number against package float16.
func TestF16(t *testing.T) {
	for i := range 1 << 16 {
		got, want := F16(uint16(i)), float16.Frombits(uint16(i)).Float32()
		if want != want && got != got {
			continue // payloads of NaN may differ
		}
		if !same(got, want) {
			t.Fatalf("%#04x is %v, want %v", i, got, want)
		}
	}
}

func TestBF16(t *testing.T) {
	for i := range 1 << 16 {
		if got := math.Float32bits(BF16(uint16(i))); got != uint32(i)<<16 {
			t.Fatalf("%#04x is %#08x", i, got)
		}
	}
}

// Blocks with usual and extreme scales against gguf.quants.dequantize, bit for
// bit. engine/cpu/testdata/gen.py makes the file.
func TestDecodeMatchesGGUF(t *testing.T) {
	b, err := os.ReadFile("testdata/dequantized.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]struct{ Hex, Bits any }
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	for _, s := range storedTypes {
		g, ok := golden[s.name]
		if ok != (s.block > 1) {
			t.Errorf("%s: golden values are there: %v", s.name, ok)
		}
		if !ok {
			continue
		}
		delete(golden, s.name)
		t.Run(s.name, func(t *testing.T) {
			raw, err := hex.DecodeString(g.Hex.(string))
			if err != nil {
				t.Fatal(err)
			}
			var want []float32
			for _, w := range g.Bits.([]any) {
				bits, err := strconv.ParseUint(w.(string), 16, 32)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, math.Float32frombits(uint32(bits)))
			}
			if len(want) != 8*s.block || len(raw) != 8*s.size {
				t.Fatalf("%d values in %d bytes", len(want), len(raw))
			}
			got := make([]float32, len(want))
			s.decode(got, raw)
			checkSame(t, "decode", len(want), got, want)
		})
	}
	if len(golden) != 0 {
		t.Errorf("not compared: %v", golden)
	}
}
