package engine

import (
	"math"
	"slices"
)

// sampler draws tokens by Meta's rule (meta-llama/llama3 llama/generation.py
// sample_top_p): softmax(logits / temperature), sorted from the most probable
// down; a token is dropped where the mass before it is strictly greater than p;
// the rest is renormalised and one is drawn. Equal logits sort the lower id
// first. It keeps scratch memory and serves one goroutine.
type sampler struct {
	mass  []float64 // (vocab,) exp((x-max)/temperature)
	order []uint64  // rank keys, from the most probable down, as far as needed
}

// sample returns the token of one row at one position. x are its logits,
// (vocab,), all finite, argmax and maximum what scan says of them.
func (s *sampler) sample(x []float32, argmax int, maximum float32, temperature, topP float64, seed uint64, position int) int32 {
	if temperature == 0 {
		return int32(argmax)
	}
	total := s.softmax(x, maximum, temperature)
	u := uniform(seed, uint64(position))
	if topP >= 1 {
		return drawAll(s.mass, u*total)
	}
	kept := s.nucleus(x, maximum, temperature, topP*total)
	return drawOrdered(s.mass, s.order, u*kept)
}

// softmax fills mass and returns its sum, added in the order of ids.
func (s *sampler) softmax(x []float32, maximum float32, temperature float64) float64 {
	if cap(s.mass) < len(x) {
		s.mass = make([]float64, len(x))
	}
	s.mass = s.mass[:len(x)]
	var total float64
	for i, v := range x {
		m := math.Exp((float64(v) - float64(maximum)) / temperature)
		s.mass[i] = m
		total += m
	}
	return total
}

// nucleus fills order with the tokens before which the mass is at most limit,
// and returns the sum of their masses, added in that order. It is
//
//	order = all ids, sorted by (logit descending, id ascending)
//	for k, id := range order {
//		if kept > limit { order = order[:k]; break }
//		kept += mass[id]
//	}
//
// but sorts band by band, from the maximum down, and only as many bands as the
// nucleus reaches into: the bands are disjoint and in order, so the sequence
// is the same.
func (s *sampler) nucleus(x []float32, maximum float32, temperature, limit float64) (kept float64) {
	s.order = s.order[:0]
	upper := math.Inf(1)
	for width := temperature; ; width *= 2 {
		lower := float64(maximum) - width
		last := len(s.order)
		if !(lower < upper) || math.IsInf(lower, 0) || width > 64*temperature {
			lower = math.Inf(-1)
		}
		for i, v := range x {
			if w := float64(v); w < upper && w >= lower {
				s.order = append(s.order, rankKey(v, int32(i)))
			}
		}
		slices.Sort(s.order[last:])
		for k, key := range s.order[last:] {
			if kept > limit {
				s.order = s.order[:last+k]
				return kept
			}
			kept += s.mass[keyID(key)]
		}
		if kept > limit || math.IsInf(lower, -1) {
			return kept
		}
		upper = lower
	}
}

// rankKey orders by logit descending, then by id ascending: its upper half is
// the logit's bits, turned so that a higher number comes first.
func rankKey(logit float32, id int32) uint64 {
	bits := math.Float32bits(logit + 0) // -0 is 0
	if bits>>31 == 0 {
		bits = ^bits & 0x7fffffff
	}
	return uint64(bits)<<32 | uint64(uint32(id))
}

// keyID is the id in a rankKey.
func keyID(key uint64) int32 { return int32(uint32(key)) }

// drawOrdered returns the token of order in whose share of the mass the target lies.
func drawOrdered(mass []float64, order []uint64, target float64) int32 {
	var sum float64
	last := keyID(order[0])
	for _, key := range order {
		id := keyID(key)
		if mass[id] > 0 {
			last = id
		}
		if sum += mass[id]; sum > target {
			return id
		}
	}
	return last // target == sum, by rounding
}

// drawAll is drawOrdered over all ids in their own order.
func drawAll(mass []float64, target float64) int32 {
	var sum float64
	last := 0
	for id, m := range mass {
		if m > 0 {
			last = id
		}
		if sum += m; sum > target {
			return int32(id)
		}
	}
	return int32(last)
}

// uniform returns a number in [0, 1) with 53 random bits that depends on the
// seed and the position alone.
func uniform(seed, position uint64) float64 {
	return float64(splitmix64(splitmix64(seed)+position*golden)>>11) * 0x1p-53
}

const golden = 0x9e3779b97f4a7c15 // 2^64 / φ

// splitmix64 is the output function of Steele, Lea and Flood's generator
// ("Fast splittable pseudorandom number generators", 2014) at state x + golden.
func splitmix64(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
