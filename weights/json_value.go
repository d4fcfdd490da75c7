package weights

// skip reads a value and forgets it. Keys inside are not looked at for
// duplicates.
func (s *scanner) skip() error {
	switch s.peek() {
	case '{':
		if err := s.enter(); err != nil {
			return err
		}
		s.pos++
		if s.peek() == '}' {
			s.pos++
			s.depth--
			return nil
		}
		for {
			if _, _, err := s.rawString(); err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
			if err := s.skip(); err != nil {
				return err
			}
			if s.peek() == '}' {
				s.pos++
				s.depth--
				return nil
			}
			if err := s.expect(','); err != nil {
				return err
			}
		}
	case '[':
		return s.array(func(int) error { return s.skip() })
	case '"':
		_, _, err := s.rawString()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	_, _, err := s.number()
	return err
}

// value is a JSON value that a config keeps: nil, bool, number, string,
// []value or object.
type value any

// number is the text of a JSON number.
type number string

type object struct {
	keys   []string
	values map[string]value
}

// value reads any value, at most maxJSONNodes of them in one file.
func (s *scanner) value() (value, error) {
	if s.nodes++; s.nodes > maxJSONNodes {
		return nil, s.fail(s.pos, "JSON has more than %d values", maxJSONNodes)
	}
	switch s.peek() {
	case '{':
		o := object{values: map[string]value{}}
		err := s.object(maxJSONNodes, maxNameBytes, func(key string) error {
			v, err := s.value()
			o.keys = append(o.keys, key)
			o.values[key] = v
			return err
		})
		return o, err
	case '[':
		var list []value
		err := s.array(func(int) error {
			v, err := s.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return s.str(maxTemplateBytes)
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case 'n':
		return nil, s.word("null")
	}
	text, _, err := s.number()
	return number(text), err
}

// parseObject reads a whole file that must be one JSON object.
func parseObject(data []byte, kind ErrorKind) (object, error) {
	s := &scanner{data: data, kind: kind}
	if s.peek() != '{' {
		return object{}, s.unexpected("a JSON object")
	}
	v, err := s.value()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return object{}, err
	}
	return v.(object), nil
}
