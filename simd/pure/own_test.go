package pure

import (
	"encoding/binary"
	"math"
	"testing"
)

// The formats, element by element, for rows that end anywhere in a block.
func TestDecodeOwn(t *testing.T) {
	r := newRand()
	for _, s := range storedTypes {
		if s.block != OwnBlock {
			continue
		}
		for n := 1; n <= 3*OwnBlock; n++ {
			row := s.row(r, 3*OwnBlock, 0)[:(n+OwnBlock-1)/OwnBlock*s.size]
			got, intact := guarded(n, 1)
			s.decode(got, row)
			if !intact() {
				t.Fatalf("%s of %d wrote outside its slice", s.name, n)
			}
			for k := range got {
				b, i := row[k/OwnBlock*s.size:], k%OwnBlock
				var want float32
				if s.name == "I8" {
					want = math.Float32frombits(binary.LittleEndian.Uint32(b)) * float32(int8(b[4+i]))
				} else {
					d, m := BF16(binary.LittleEndian.Uint16(b)), BF16(binary.LittleEndian.Uint16(b[2:]))
					want = float32(d*float32(b[4+i%32]>>(i/32*4)&15)) + m
				}
				if !same(got[k], want) {
					t.Fatalf("%s of %d: element %d is %v, want %v", s.name, n, k, got[k], want)
				}
			}
			x := random(r, n, 0)
			checkSame(t, "dot", n, []float32{s.dot(row, x)}, []float32{refDot(got, x)})
		}
	}
}
