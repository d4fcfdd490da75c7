package cpu

import "github.com/llama-go/llama-go/engine"

// kvPool owns the memory of KV blocks. A block is made when it is first named
// and stays until the pool goes; who uses which block is the scheduler's
// business.
//
// A block holds engine.BlockSize positions of all layers, float32, laid out as
// attention reads it: (layers, 2 for K and V, kvHeads, BlockSize, headDim).
type kvPool struct {
	kvHeads, headDim int
	floats           int // of one block
	blocks           [][]float32
}

func newKVPool(layers, kvHeads, headDim int) *kvPool {
	return &kvPool{kvHeads: kvHeads, headDim: headDim, floats: layers * 2 * kvHeads * engine.BlockSize * headDim}
}

// need makes block id exist.
func (p *kvPool) need(id int32) {
	for int(id) >= len(p.blocks) {
		p.blocks = append(p.blocks, nil)
	}
	if p.blocks[id] == nil {
		p.blocks[id] = make([]float32, p.floats)
	}
}

// kv returns what block id holds of one head of a layer.
func (p *kvPool) kv(id int32, layer, head int) (k, v []float32) { // (BlockSize, headDim) each
	n := engine.BlockSize * p.headDim
	at := (layer*2*p.kvHeads + head) * n
	b := p.blocks[id]
	return b[at:][:n:n], b[at+p.kvHeads*n:][:n:n]
}
