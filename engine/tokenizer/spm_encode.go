package tokenizer

import (
	"slices"
	"unicode/utf8"
)

// segment appends the ids of a part of the text that nothing merges out of.
func (e *spmEncoder) segment(text string) {
	e.symbols(text)
	e.s.merge(text, e.m)
	for i := int32(0); i >= 0; i = e.s.syms[i].next {
		y := &e.s.syms[i]
		if y.id >= 0 && !e.m.shadowed && e.splits == nil {
			e.dst, e.unknown = append(e.dst, y.id), false
			continue
		}
		e.emit(text[y.start:y.end])
	}
}

// symbols cuts text into user-defined pieces, the longest at each place, and
// characters.
func (e *spmEncoder) symbols(text string) {
	m, syms := e.m, slices.Grow(e.s.syms[:0], utf8.RuneCountInString(text))
	var found []match // the first in the text comes last
	if m.user != nil {
		found = m.user.all(text)
	}
	for i := 0; i < len(text); {
		for len(found) > 0 && found[len(found)-1].start < i {
			found = found[:len(found)-1]
		}
		if k := len(found) - 1; k >= 0 && found[k].start == i {
			end := i + m.user.length[found[k].index]
			syms = append(syms, symbol{start: int32(i), end: int32(end), id: frozen})
			i = end
			continue
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		syms = append(syms, symbol{start: int32(i), end: int32(i + n), id: unknownChar})
		i += n
	}
	e.s.syms = syms
}

// emit appends the id of a merged text: a piece, or the bytes of what is unknown.
func (e *spmEncoder) emit(text string) {
	m := e.m
	id, ok := m.reserved[text]
	if !ok {
		if id, ok = m.ids[text]; !ok {
			id = m.unk
		} else if m.unused != nil && m.unused[id] {
			if n, ok := e.splits[text]; ok {
				e.emit(text[:n])
				e.emit(text[n:])
				return
			}
		}
	}
	if id != m.unk {
		e.dst, e.unknown = append(e.dst, id), false
		return
	}
	if m.bytes != nil {
		for i := range len(text) {
			e.dst = append(e.dst, m.bytes[text[i]])
		}
		e.unknown = false
		return
	}
	if !e.unknown && m.unk >= 0 { // a run of unknown characters is one token
		e.dst = append(e.dst, m.unk)
	}
	e.unknown = true
}
