package tokenizer

import "slices"

// matcher finds texts of a fixed set in another text, as leftmost-longest
// search does. It is an Aho-Corasick automaton over the reversed texts, run from
// the end: what it knows at a position is the longest text that starts there.
// Time is linear whatever the set.
type matcher struct {
	edges map[uint64]int32 // state<<8 | byte -> state
	root  [256]int32       // the same from state 0
	fail  []int32          // longest proper suffix of the state
	out   []int32          // index of the longest text that ends the state, -1
	// length is the length of each text.
	length []int
}

// maxMatched bounds the bytes of all texts of a matcher, and so its memory.
const maxMatched = 1 << 20

// newMatcher returns nil for no texts. No text may be empty.
func newMatcher(texts []string) (*matcher, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	total := 0
	for _, t := range texts {
		total += len(t)
	}
	if total > maxMatched {
		return nil, errorf("added and user-defined tokens hold %d bytes, at most %d are supported", total, maxMatched)
	}
	m := &matcher{edges: make(map[uint64]int32, total), fail: []int32{0}, out: []int32{-1}}
	for i, t := range texts {
		m.length = append(m.length, len(t))
		state := int32(0)
		for j := len(t) - 1; j >= 0; j-- {
			next, ok := m.edge(state, t[j])
			if !ok {
				next = int32(len(m.out))
				m.out, m.fail = append(m.out, -1), append(m.fail, 0)
				m.edges[edgeKey(state, t[j])] = next
				if state == 0 {
					m.root[t[j]] = next
				}
			}
			state = next
		}
		m.out[state] = int32(i)
	}
	m.link()
	return m, nil
}

func edgeKey(state int32, b byte) uint64 { return uint64(state)<<8 | uint64(b) }

func (m *matcher) edge(state int32, b byte) (int32, bool) {
	if state == 0 {
		return m.root[b], m.root[b] != 0
	}
	next, ok := m.edges[edgeKey(state, b)]
	return next, ok
}

// step follows b from state, over failure links where there is no edge.
func (m *matcher) step(state int32, b byte) int32 {
	for {
		if next, ok := m.edge(state, b); ok || state == 0 {
			return next
		}
		state = m.fail[state]
	}
}

// link sets the failure links, shorter states first, and hands outputs on.
func (m *matcher) link() {
	type edge struct {
		from, to int32
		b        byte
	}
	var all []edge
	for k, to := range m.edges {
		all = append(all, edge{int32(k >> 8), to, byte(k)})
	}
	// A state's number is larger than its parent's, but not its depth's.
	depth := make([]int32, len(m.out))
	slices.SortFunc(all, func(a, b edge) int { return int(a.to - b.to) })
	for _, e := range all {
		depth[e.to] = depth[e.from] + 1
	}
	slices.SortFunc(all, func(a, b edge) int { return int(depth[a.to] - depth[b.to]) })
	for _, e := range all {
		if e.from != 0 {
			m.fail[e.to] = m.step(m.fail[e.from], e.b)
		}
		if m.out[e.to] < 0 {
			m.out[e.to] = m.out[m.fail[e.to]]
		}
	}
}

// match is a text of the set that starts at a position.
type match struct {
	start int
	index int32
}

// all returns, for each position where a text starts, the longest such text;
// the last position comes first.
func (m *matcher) all(text string) []match {
	var found []match
	state := int32(0)
	for i := len(text) - 1; i >= 0; i-- {
		if state == 0 {
			state = m.root[text[i]]
		} else {
			state = m.step(state, text[i])
		}
		if k := m.out[state]; k >= 0 {
			found = append(found, match{i, k})
		}
	}
	return found
}
