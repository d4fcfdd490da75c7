package tokenizer

import "strconv"

// value reads any value as string, bool, nil, number, []any or object. It is for
// the small parts of a file.
func (s *scanner) value() any {
	switch s.peek() {
	case '{':
		o := object{}
		s.object(func(key string) {
			if _, ok := o[key]; ok {
				s.fail("key %q occurs twice", clip(key))
			}
			o[key] = s.value()
		})
		return o
	case '[':
		a := []any{}
		s.array(func() { a = append(a, s.value()) })
		return a
	case '"':
		return s.string()
	case 't', 'f':
		return s.bool()
	case 'n':
		if !s.null() {
			s.fail("expected null")
		}
		return nil
	}
	return jsonNumber(s.number())
}

// object is a JSON object of a small part of a file.
type object map[string]any

type jsonNumber string

// Typed members; the zero value or otherwise when absent or null.

func (o object) string(key, otherwise string) (string, error) {
	switch v := o[key].(type) {
	case nil:
		return otherwise, nil
	case string:
		return v, nil
	}
	return "", errorf("%q is %v, expected a string", key, clipValue(o[key]))
}

func (o object) bool(key string, otherwise bool) (bool, error) {
	switch v := o[key].(type) {
	case nil:
		return otherwise, nil
	case bool:
		return v, nil
	}
	return false, errorf("%q is %v, expected true or false", key, clipValue(o[key]))
}

func (o object) list(key string) ([]any, error) {
	switch v := o[key].(type) {
	case nil:
		return nil, nil
	case []any:
		return v, nil
	}
	return nil, errorf("%q is %v, expected a list", key, clipValue(o[key]))
}

// clipValue shows a value briefly.
func clipValue(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(clip(v))
	case jsonNumber:
		return clip(string(v))
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return "null"
	case []any:
		return "a list"
	}
	return "an object"
}
