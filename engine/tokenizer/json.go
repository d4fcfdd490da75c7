package tokenizer

// jsonFile is a tokenizer.json as it was read.
type jsonFile struct {
	model         jsonModel
	added         []addedToken
	normalizer    any
	preTokenizer  any
	postProcessor any
	decoder       any
}

// jsonModel is its BPE model.
type jsonModel struct {
	vocab  map[string]int32
	texts  []string // by id; a hole is ""
	merges [][2]string
	rest   object // the small members
	seen   bool
}

// FromJSON makes the tokenizer of a tokenizer.json file: BPE, byte-level or of
// the SentencePiece kind.
func FromJSON(data []byte) (*Tokenizer, error) {
	f, err := parseJSON(data)
	if err != nil {
		return nil, &Error{Msg: "tokenizer.json", Err: err}
	}
	t, err := f.build()
	if err != nil {
		return nil, &Error{Msg: "tokenizer.json", Err: err}
	}
	return t, nil
}

func parseJSON(data []byte) (*jsonFile, error) {
	f := &jsonFile{}
	s := &scanner{data: string(data)}
	seen := map[string]bool{}
	s.object(func(key string) {
		if seen[key] {
			s.fail("key %q occurs twice", clip(key))
		}
		seen[key] = true
		switch key {
		case "model":
			f.model.read(s)
		case "added_tokens":
			if !s.null() {
				s.array(func() { f.addToken(s) })
			}
		case "normalizer":
			f.normalizer = s.value()
		case "pre_tokenizer":
			f.preTokenizer = s.value()
		case "post_processor":
			f.postProcessor = s.value()
		case "decoder":
			f.decoder = s.value()
		default:
			s.value() // version, truncation, padding
		}
	})
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	if !f.model.seen {
		return nil, errorf("no \"model\": this is not a tokenizer file")
	}
	return f, nil
}

func (m *jsonModel) read(s *scanner) {
	m.seen, m.rest = true, object{}
	s.object(func(key string) {
		if _, ok := m.rest[key]; ok {
			s.fail("key %q occurs twice", clip(key))
			return
		}
		m.rest[key] = true
		switch key {
		case "vocab":
			if s.peek() == '{' {
				m.readVocab(s)
				return
			}
		case "merges":
			m.readMerges(s)
			return
		}
		m.rest[key] = s.value()
	})
}

func (m *jsonModel) readVocab(s *scanner) {
	m.vocab = make(map[string]int32)
	s.object(func(text string) {
		id := s.int()
		switch {
		case s.err != nil:
			return
		case id < 0 || id >= maxVocab:
			s.fail("token %q has id %d, at most %d tokens are supported", clip(text), id, maxVocab)
			return
		case len(text) > maxToken:
			s.fail("token %d has %d bytes, at most %d are supported", id, len(text), maxToken)
			return
		}
		if _, ok := m.vocab[text]; ok {
			s.fail("token %q occurs twice", clip(text))
			return
		}
		m.vocab[text] = int32(id)
		for len(m.texts) <= id {
			m.texts = append(m.texts, "")
		}
		if m.texts[id] != "" {
			s.fail("tokens %q and %q both have id %d", clip(m.texts[id]), clip(text), id)
		}
		m.texts[id] = text
	})
}

func (m *jsonModel) readMerges(s *scanner) {
	s.array(func() {
		if len(m.merges) == maxVocab {
			s.fail("more than %d merges", maxVocab)
			return
		}
		var pair [2]string
		if s.peek() == '"' {
			var err error
			line := s.string()
			if pair[0], pair[1], err = splitMerge(len(m.merges), line); err != nil && s.err == nil {
				s.err = err
			}
		} else {
			n := 0
			s.array(func() {
				if n == 2 {
					s.fail("merge %d has more than two parts", len(m.merges))
					return
				}
				pair[n] = s.string()
				n++
			})
			if n != 2 {
				s.fail("merge %d has %d parts, expected 2", len(m.merges), n)
			}
		}
		m.merges = append(m.merges, pair)
	})
}

func (f *jsonFile) addToken(s *scanner) {
	if len(f.added) == maxVocab {
		s.fail("more than %d added tokens", maxVocab)
		return
	}
	t := addedToken{id: -1, normalized: true}
	seen := object{}
	s.object(func(key string) {
		if _, ok := seen[key]; ok {
			s.fail("key %q occurs twice", clip(key))
			return
		}
		seen[key] = true
		switch key {
		case "id":
			t.id = int32(s.int())
		case "content":
			t.text = s.string()
		case "single_word":
			t.singleWord = s.bool()
		case "lstrip":
			t.lstrip = s.bool()
		case "rstrip":
			t.rstrip = s.bool()
		case "normalized":
			t.normalized = s.bool()
		case "special":
			t.special = s.bool()
		default:
			s.value()
		}
	})
	if s.err == nil && (t.id < 0 || t.id >= maxVocab || len(t.text) > maxToken) {
		s.fail("added token %q has id %d, expected 0 to %d and at most %d bytes", clip(t.text), t.id, maxVocab-1, maxToken)
	}
	f.added = append(f.added, t)
}
