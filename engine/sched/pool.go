package sched

import "fmt"

// pool hands out the ids of KV blocks, the lowest free one first made.
type pool struct {
	limit int     // the most blocks that may be held
	made  int32   // ids [0, made) have been handed out before
	free  []int32 // of those, the ones that nobody holds; last in, first out
	held  []bool  // (made,)
	used  int     // how many are held
}

// take returns a free block. The caller has made sure that there is one.
func (p *pool) take() int32 {
	if p.used >= p.limit {
		panic(fmt.Sprintf("sched: take of block %d of %d: a reservation was not kept", p.used+1, p.limit))
	}
	p.used++
	if n := len(p.free); n > 0 {
		id := p.free[n-1]
		p.free = p.free[:n-1]
		p.held[id] = true
		return id
	}
	id := p.made
	p.made++
	p.held = append(p.held, true)
	return id
}

// put gives blocks back.
func (p *pool) put(ids []int32) {
	for _, id := range ids {
		if id < 0 || id >= p.made || !p.held[id] {
			panic(fmt.Sprintf("sched: put of block %d, which nobody holds", id))
		}
		p.held[id] = false
		p.free = append(p.free, id)
		p.used--
	}
}
