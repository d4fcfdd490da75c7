package tokenizer

import "math/bits"

// pairTable maps a pair of ids to the rank and id of its merge. Open addressing
// over flat slices: one lookup per adjacent pair is most of BPE's time.
type pairTable struct {
	keys  []uint64 // left << 32 | right, or emptyPair
	vals  []pair
	shift uint
}

const emptyPair = ^uint64(0)

func newPairTable(n int) *pairTable {
	logSize := max(4, bits.Len(uint(2*n)))
	t := &pairTable{keys: make([]uint64, 1<<logSize), vals: make([]pair, 1<<logSize), shift: uint(64 - logSize)}
	for i := range t.keys {
		t.keys[i] = emptyPair
	}
	return t
}

// slot is where the pair is, or where it belongs.
func (t *pairTable) slot(key uint64) uint64 {
	i := (key * 0x9E3779B97F4A7C15) >> t.shift
	for t.keys[i] != key && t.keys[i] != emptyPair {
		i = (i + 1) & uint64(len(t.keys)-1)
	}
	return i
}

func pairKey(l, r int32) uint64 { return uint64(uint32(l))<<32 | uint64(uint32(r)) }

// set adds or replaces a pair, as the later of two equal merges does in `tokenizers`.
func (t *pairTable) set(l, r int32, p pair) {
	key := pairKey(l, r)
	i := t.slot(key)
	t.keys[i], t.vals[i] = key, p
}

func (t *pairTable) get(l, r int32) pair {
	key := pairKey(l, r)
	i := t.slot(key)
	if t.keys[i] != key {
		return pair{rank: noRank}
	}
	return t.vals[i]
}
