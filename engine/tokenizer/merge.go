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
	// ranks is one more than the highest rank.
	ranks() int
}

const (
	noRank = ^uint32(0)
	// smallWord is the number of symbols up to which looking for the best pair
	// anew after each merge beats a queue.
	smallWord = 24
)

// scratch is the memory that one Encode call reuses from word to word.
type scratch struct {
	syms  []symbol
	pairs []pair
	queue buckets
	// note, if set, is told of each pair that may merge: the text of both, the
	// length of the left one, and the id that they would make.
	note func(text string, left, id int32)
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
		s.mergeQueue(word, r)
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

// consider looks up the pair (l, r), which has just become one.
func (s *scratch) consider(word string, rules rules, l, r int32) pair {
	rank, id := rules.pair(word, &s.syms[l], &s.syms[r])
	if s.note != nil && rank != noRank {
		s.note(word[s.syms[l].start:s.syms[r].end], s.syms[r].start-s.syms[l].start, id)
	}
	return pair{rank, id}
}

func (s *scratch) mergeSmall(word string, r rules) {
	s.pairs = slices.Grow(s.pairs[:0], len(s.syms))[:len(s.syms)]
	at := func(i int32) pair {
		n := s.syms[i].next
		if n < 0 {
			return pair{rank: noRank}
		}
		return s.consider(word, r, i, n)
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
		if p := s.syms[i].prev; p >= 0 {
			s.pairs[p] = at(p)
		}
		s.pairs[i] = at(i)
	}
}

// mergeQueue merges words of any length.
func (s *scratch) mergeQueue(word string, r rules) {
	q := &s.queue
	q.reset(r.ranks())
	push := func(i int32) {
		n := s.syms[i].next
		if n < 0 {
			return
		}
		if p := s.consider(word, r, i, n); p.rank != noRank {
			q.push(p.rank, i)
		}
	}
	for i := range len(s.syms) - 1 {
		push(int32(i))
	}
	for {
		rank, i, ok := q.pop()
		if !ok {
			return
		}
		l := &s.syms[i]
		if l.id == dead || l.next < 0 {
			continue
		}
		now, id := r.pair(word, l, &s.syms[l.next])
		if now != rank {
			continue
		}
		s.join(i, id)
		if l.prev >= 0 {
			push(l.prev)
		}
		push(i)
	}
}
