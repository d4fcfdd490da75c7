package tokenizer

import (
	"math"
	"slices"
)

// buckets is a priority queue of pairs for long words: by rank, then by place. A
// binary heap of millions of pairs misses the cache at every level; here the
// pairs of one rank lie together and are mostly taken in the order in which
// they came, so time is close to linear. Rank and place say all: when a pair is
// taken, it counts only if its two symbols still merge with that rank.
type buckets struct {
	index []int32   // rank -> bucket + 1, 0: none
	all   []*bucket // free ones too
	free  []int32
	ranks minHeap // of closed buckets that are not empty
	open  []int32 // buckets being taken from, the lowest rank last
}

// bucket holds the pairs of one rank.
type bucket struct {
	rank   uint32
	places []int32 // places of left symbols; sorted once the bucket is open
	at     int     // the next of places
	open   bool
	late   minHeap // places that came while it was open
}

// reset prepares for pairs of rank 0 to n-1. The queue must be empty.
func (q *buckets) reset(n int) {
	if len(q.index) < n {
		q.index = make([]int32, n)
	}
}

func (q *buckets) push(rank uint32, place int32) {
	k := q.index[rank]
	if k == 0 {
		k = q.add(rank)
	}
	b := q.all[k-1]
	if b.open {
		b.late.push(uint32(place))
	} else {
		b.places = append(b.places, place)
	}
}

// add makes a closed bucket.
func (q *buckets) add(rank uint32) int32 {
	var k int32
	if n := len(q.free); n > 0 {
		k, q.free = q.free[n-1], q.free[:n-1]
	} else {
		q.all = append(q.all, &bucket{})
		k = int32(len(q.all))
	}
	b := q.all[k-1]
	*b = bucket{rank: rank, places: b.places[:0], late: b.late[:0]}
	q.index[rank] = k
	q.ranks.push(rank)
	return k
}

// pop takes the pair of lowest rank, leftmost on ties.
func (q *buckets) pop() (rank uint32, place int32, ok bool) {
	for {
		var b *bucket
		top := uint32(math.MaxUint32)
		if n := len(q.open); n > 0 {
			b = q.all[q.open[n-1]-1]
			top = b.rank
		}
		if len(q.ranks) > 0 && q.ranks[0] < top {
			k := q.index[q.ranks.pop()]
			b = q.all[k-1]
			b.open = true
			if !slices.IsSorted(b.places) {
				slices.Sort(b.places)
			}
			q.open = append(q.open, k)
		}
		if b == nil {
			return 0, 0, false
		}
		if place, ok = b.pop(); ok {
			return b.rank, place, true
		}
		q.index[b.rank] = 0
		q.free = append(q.free, q.open[len(q.open)-1])
		q.open = q.open[:len(q.open)-1]
	}
}

func (b *bucket) pop() (int32, bool) {
	if len(b.late) > 0 && (b.at == len(b.places) || int32(b.late[0]) < b.places[b.at]) {
		return int32(b.late.pop()), true
	}
	if b.at == len(b.places) {
		return 0, false
	}
	b.at++
	return b.places[b.at-1], true
}

// minHeap is a binary heap.
type minHeap []uint32

func (h *minHeap) push(x uint32) {
	s := append(*h, x)
	i := len(s) - 1
	for i > 0 && s[(i-1)/2] > x {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = x
	*h = s
}

// pop takes the least; the heap must not be empty.
func (h *minHeap) pop() uint32 {
	s := *h
	top, n := s[0], len(s)-1
	x := s[n]
	s = s[:n]
	for i := 0; n > 0; {
		k := 2*i + 1
		if k+1 < n && s[k+1] < s[k] {
			k++
		}
		if k >= n || s[k] >= x {
			s[i] = x
			break
		}
		s[i] = s[k]
		i = k
	}
	*h = s
	return top
}
