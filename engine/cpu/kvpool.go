package cpu

import "github.com/llama-go/llama-go/simd"

// arenaBytes is about how much memory blocks are made in: enough for big pages.
const arenaBytes = 32 << 20

// kvPool owns the memory of KV blocks. Blocks of neighbouring numbers lie in one
// arena, which is made when the first of them is named; its pages become real
// when they are written. Both stay until the pool goes; who uses which block is
// the scheduler's business.
//
// A block holds engine.BlockSize positions of all layers, laid out as
// simd.Attention reads it: (layers, kvHeads, head).
type kvPool struct {
	kvHeads   int
	headBytes int
	bytes     int // of one block
	perArena  int // blocks
	arenas    []*simd.Memory
}

func newKVPool(layers, kvHeads int, a *simd.Attention) *kvPool {
	p := &kvPool{kvHeads: kvHeads, headBytes: a.HeadBytes(), bytes: layers * kvHeads * a.HeadBytes()}
	p.perArena = max(1, arenaBytes/p.bytes)
	return p
}

// need makes block id exist.
func (p *kvPool) need(id int32) error {
	at := int(id) / p.perArena
	for at >= len(p.arenas) {
		p.arenas = append(p.arenas, nil)
	}
	if p.arenas[at] != nil {
		return nil
	}
	m, err := simd.NewMemory(p.perArena * p.bytes)
	p.arenas[at] = m
	return err
}

// head is what block id holds of one key-value head of a layer.
func (p *kvPool) head(id int32, layer, head int) []byte {
	at := int(id)%p.perArena*p.bytes + (layer*p.kvHeads+head)*p.headBytes
	return p.arenas[int(id)/p.perArena].Bytes[at:][:p.headBytes:p.headBytes]
}

// free gives all memory back.
func (p *kvPool) free() {
	for _, m := range p.arenas {
		if m != nil {
			m.Free()
		}
	}
	p.arenas = nil
}
