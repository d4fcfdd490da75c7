package tokenizer

import "slices"

// Merging is the core of both kinds of BPE: of all adjacent pairs of symbols
// that may merge, take the one of lowest rank, leftmost on ties, until none is
// left. Byte-level BPE ranks pairs by their place in the merges list,
// SentencePiece by the score of the piece that a pair makes.

// symbol is a part of a word. id is the token it stands for, or negative.
type symbol struct {
	start, end int32 // bytes of the word
	prev, next int32 // neighbours in the list, -1: none
	id         int32
}

// rules says which pairs merge. The id of a merged pair is that of exactly one
// text, and longer than either part: merging ends.
type rules interface {
	// pair returns the rank and id of l and r merged; noRank: they do not.
	// word is the text that their offsets refer to.
	pair(word string, l, r *symbol) (rank uint32, id int32)
}

const (
	noRank = ^uint32(0)
	// smallWord is the number of symbols up to which looking for the best pair
	// anew after each merge beats a heap.
	smallWord = 24
)

// scratch is the memory that one Encode call reuses from word to word.
type scratch struct {
	syms  []symbol
	pairs []pair
	heap  candidates
}

// pair is the merge of a symbol with its right neighbour.
type pair struct {
	rank uint32
	id   int32
}

// merge merges s.syms as far as the rules go. The survivors form a list that
// starts at symbol 0.
func (s *scratch) merge(word string, r rules) {
	for i := range s.syms {
		s.syms[i].prev, s.syms[i].next = int32(i)-1, int32(i)+1
	}
	if n := len(s.syms); n > 0 {
		s.syms[n-1].next = -1
	}
	if len(s.syms) <= smallWord {
		s.mergeSmall(word, r)
	} else {
		s.mergeHeap(word, r)
	}
}

// join merges the pair (i, next of i) into i.
func (s *scratch) join(i, id int32) {
	l := &s.syms[i]
	r := &s.syms[l.next]
	r.id = dead
	l.end, l.next, l.id = r.end, r.next, id
	if l.next >= 0 {
		s.syms[l.next].prev = i
	}
}

// dead marks a symbol that was merged into its left neighbour.
const dead = -100

func (s *scratch) mergeSmall(word string, r rules) {
	s.pairs = slices.Grow(s.pairs[:0], len(s.syms))[:len(s.syms)]
	at := func(i int32) pair {
		n := s.syms[i].next
		if n < 0 {
			return pair{rank: noRank}
		}
		rank, id := r.pair(word, &s.syms[i], &s.syms[n])
		return pair{rank, id}
	}
	for i := range s.syms {
		s.pairs[i] = at(int32(i))
	}
	for {
		best, rank := -1, noRank
		for i, p := range s.pairs {
			if p.rank < rank {
				best, rank = i, p.rank
			}
		}
		if best < 0 {
			return
		}
		i := int32(best)
		s.pairs[s.syms[i].next].rank = noRank
		s.join(i, s.pairs[i].id)
		s.pairs[i] = at(i)
		if p := s.syms[i].prev; p >= 0 {
			s.pairs[p] = at(p)
		}
	}
}

func (s *scratch) mergeHeap(word string, r rules) {
	h := &s.heap
	h.reset()
	push := func(i int32) {
		n := s.syms[i].next
		if rank, id := r.pair(word, &s.syms[i], &s.syms[n]); rank != noRank {
			h.push(candidate{uint64(rank)<<32 | uint64(i), id})
		}
	}
	for i := range len(s.syms) - 1 {
		push(int32(i))
	}
	for {
		c, ok := h.pop()
		if !ok {
			return
		}
		i := int32(uint32(c.key))
		l := &s.syms[i]
		if l.id == dead || l.next < 0 {
			continue
		}
		// The pair may have changed since it was pushed: its text then ends
		// elsewhere, and it makes another token.
		if rank, id := r.pair(word, l, &s.syms[l.next]); rank == noRank || id != c.id {
			continue
		}
		s.join(i, c.id)
		if l.next >= 0 {
			push(i)
		}
		if l.prev >= 0 {
			push(l.prev)
		}
	}
}

// candidate is a pair that may merge: its rank above the index of its left
// symbol, and the id that it makes.
type candidate struct {
	key uint64
	id  int32
}

// candidates is a binary heap by key.
type candidates struct{ h []candidate }

func (c *candidates) reset() { c.h = c.h[:0] }

func (c *candidates) push(x candidate) {
	c.h = append(c.h, x)
	i := len(c.h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if c.h[p].key <= x.key {
			break
		}
		c.h[i] = c.h[p]
		i = p
	}
	c.h[i] = x
}

func (c *candidates) pop() (candidate, bool) {
	n := len(c.h) - 1
	if n < 0 {
		return candidate{}, false
	}
	top, x := c.h[0], c.h[n]
	c.h = c.h[:n]
	if n == 0 {
		return top, true
	}
	i := 0
	for {
		k := 2*i + 1
		if k >= n {
			break
		}
		if k+1 < n && c.h[k+1].key < c.h[k].key {
			k++
		}
		if x.key <= c.h[k].key {
			break
		}
		c.h[i] = c.h[k]
		i = k
	}
	c.h[i] = x
	return top, true
}
