package tokenizer

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// spaceMark stands for a space in SentencePiece vocabularies.
const spaceMark = "\u2581"

// piece is one entry of a SentencePiece vocabulary.
type piece struct {
	text  string
	score float32
	kind  int32 // type… constants
}

// spmSpec is what a model says beside its pieces.
type spmSpec struct {
	unk               int
	dummyPrefix       bool // a space goes before the text
	removeExtraSpaces bool // see normalizer.runSqueezed
	keepSpaces        bool // spaces are not written as spaceMark
	unkSurface        string
	// fromModel: duplicate pieces are errors and byteFallback says whether byte
	// pieces are used. A GGUF file does not say: all 256 are, where they are.
	fromModel    bool
	byteFallback bool
}

// spm is BPE as sentencepiece does it (src/bpe_model.cc): of all adjacent
// symbols whose joined text is a piece, the one of highest score merges first.
type spm struct {
	ids      map[string]int32 // normal, user-defined and unused pieces
	reserved map[string]int32 // the other pieces: never merged
	rank     []uint32         // by id: 0 is the highest score, equal scores share one
	unused   []bool           // by id; nil: none. Such a piece only helps to merge.
	bytes    *[256]int32      // byte tokens; nil: no byte fallback
	shadowed bool             // a text is in both maps; reserved wins
	unk      int32
	user     *matcher // user-defined pieces: never part of a merge
	userIDs  []int32
	longest  int  // bytes of the longest piece
	words    bool // no piece has a spaceMark after another character: see encode
}

// pair implements rules.
func (m *spm) pair(word string, l, r *symbol) (uint32, int32) {
	if l.id == frozen || r.id == frozen || int(r.end-l.start) > m.longest {
		return noRank, 0
	}
	id, ok := m.ids[word[l.start:r.end]]
	if !ok {
		return noRank, 0
	}
	return m.rank[id], id
}

func (m *spm) ranks() int { return len(m.rank) }

// Ids of symbols that are no piece.
const (
	unknownChar = -1
	frozen      = -2 // a user-defined piece, found before merging
)

// newSPM checks pieces and indexes them.
func newSPM(pieces []piece, spec spmSpec) (*spm, error) {
	m := &spm{
		ids: make(map[string]int32, len(pieces)), reserved: map[string]int32{},
		rank: make([]uint32, len(pieces)), unk: int32(spec.unk), words: true,
	}
	var bytes [256]int32
	seen := 0
	var user []string
	for i, p := range pieces {
		if p.text == "" {
			return nil, errorf("piece %d is empty", i)
		}
		if !utf8.ValidString(p.text) {
			return nil, errorf("piece %d (%q) is not UTF-8", i, clip(p.text))
		}
		into := m.reserved
		switch p.kind {
		case typeNormal, typeUserDefined, typeUnused:
			into = m.ids
			m.longest = max(m.longest, len(p.text))
			m.words = m.words && strings.LastIndex(p.text, spaceMark) <= len(p.text)-len(strings.TrimLeft(p.text, spaceMark))
		case typeUnknown, typeControl:
		case typeByte:
			b, ok := byteOf(p.text)
			if !ok || bytes[b] != 0 {
				return nil, errorf("piece %d is %q, expected a byte <0x00> to <0xFF> that no other piece is", i, clip(p.text))
			}
			bytes[b] = int32(i) + 1
			seen++
		default:
			return nil, errorf("piece %d (%q) has type %d, expected 1 to 6", i, clip(p.text), p.kind)
		}
		if first, ok := into[p.text]; ok && spec.fromModel {
			return nil, errorf("pieces %d and %d are both %q", first, i, clip(p.text))
		}
		into[p.text] = int32(i)
		switch p.kind {
		case typeUserDefined:
			user, m.userIDs = append(user, p.text), append(m.userIDs, int32(i))
		case typeUnused:
			if m.unused == nil {
				m.unused = make([]bool, len(pieces))
			}
			m.unused[i] = true
		}
	}
	if wanted := spec.byteFallback || !spec.fromModel && seen > 0; wanted && seen != 256 {
		return nil, errorf("the vocabulary has %d byte pieces, expected 256", seen)
	} else if wanted {
		for b := range bytes {
			bytes[b]--
		}
		m.bytes = &bytes
	}
	for text := range m.reserved {
		if _, ok := m.ids[text]; ok {
			m.shadowed = true
		}
	}
	var err error
	if m.user, err = newMatcher(user); err != nil {
		return nil, err
	}
	return m, m.rankScores(pieces)
}

// byteOf reads <0xNN>.
func byteOf(text string) (byte, bool) {
	if len(text) != 6 || text[:3] != "<0x" || text[5] != '>' {
		return 0, false
	}
	v := 0
	for _, c := range text[3:5] {
		k := strings.IndexRune("0123456789ABCDEF", c)
		if k < 0 {
			return 0, false
		}
		v = v<<4 | k
	}
	return byte(v), true
}

// rankScores numbers the distinct scores, highest first.
func (m *spm) rankScores(pieces []piece) error {
	order := make([]int32, len(pieces))
	for i, p := range pieces {
		if s := float64(p.score); math.IsNaN(s) || math.IsInf(s, 0) {
			return errorf("piece %d (%q) has score %v, expected a finite number", i, clip(p.text), p.score)
		}
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(pieces[b].score, pieces[a].score) })
	rank := uint32(0)
	for k, i := range order {
		if k > 0 && pieces[i].score != pieces[order[k-1]].score {
			rank++
		}
		m.rank[i] = rank
	}
	return nil
}

// encode appends the ids of a normalized text. Where no piece holds a spaceMark
// after another character, nothing merges across the start of a word, and
// words can be encoded one by one.
func (m *spm) encode(dst []int32, text string, s *scratch) []int32 {
	e := spmEncoder{m: m, s: s, dst: dst}
	if m.unused != nil {
		// Which parts an unused piece falls into depends on the whole text.
		// sentencepiece goes by the pair that was found last.
		e.splits = map[string]int32{}
		s.note = func(text string, left, id int32) {
			if m.unused[id] {
				e.splits[text] = left
			}
		}
		e.segment(text)
		s.note = nil
		return e.dst
	}
	for m.words && text != "" {
		n := wordEnd(text)
		e.segment(text[:n])
		text = text[n:]
	}
	if text != "" {
		e.segment(text)
	}
	return e.dst
}

// wordEnd returns the end of the first word: leading marks and all up to the
// next mark.
func wordEnd(text string) int {
	i := len(text) - len(strings.TrimLeft(text, spaceMark))
	if n := strings.Index(text[i:], spaceMark); n >= 0 {
		return i + n
	}
	return len(text)
}

// spmEncoder encodes one text.
type spmEncoder struct {
	m       *spm
	s       *scratch
	dst     []int32
	splits  map[string]int32 // an unused piece -> length of its left part
	unknown bool             // the last id is the unknown token
}
