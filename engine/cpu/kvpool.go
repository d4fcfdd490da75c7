package cpu

import "github.com/llama-go/llama-go/simd"

// kvPool owns the memory of KV blocks. A block is made when it is first named
// and stays until the pool goes; who uses which block is the scheduler's
// business.
//
// A block holds engine.BlockSize positions of all layers, laid out as
// simd.Attention reads it: (layers, kvHeads, head).
type kvPool struct {
	kvHeads   int
	headBytes int
	bytes     int // of one block
	blocks    []*simd.Memory
}

func newKVPool(layers, kvHeads int, a *simd.Attention) *kvPool {
	return &kvPool{kvHeads: kvHeads, headBytes: a.HeadBytes(), bytes: layers * kvHeads * a.HeadBytes()}
}

// need makes block id exist.
func (p *kvPool) need(id int32) error {
	for int(id) >= len(p.blocks) {
		p.blocks = append(p.blocks, nil)
	}
	if p.blocks[id] != nil {
		return nil
	}
	m, err := simd.NewMemory(p.bytes)
	p.blocks[id] = m
	return err
}

// head is what block id holds of one key-value head of a layer.
func (p *kvPool) head(id int32, layer, head int) []byte {
	return p.blocks[id].Bytes[(layer*p.kvHeads+head)*p.headBytes:][:p.headBytes:p.headBytes]
}

// free gives all blocks back.
func (p *kvPool) free() {
	for _, m := range p.blocks {
		if m != nil {
			m.Free()
		}
	}
	p.blocks = nil
}
