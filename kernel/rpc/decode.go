package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// decodeStrict reads a JSON object into v and refuses what encoding/json lets
// pass: invalid UTF-8, keys twice, keys in another case and keys that v does
// not have. Absent or null raw is the empty object.
func decodeStrict(raw json.RawMessage, v any) error {
	if len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil
	}
	if !utf8.Valid(raw) {
		return fmt.Errorf("not valid UTF-8")
	}
	keys, err := objectKeys(raw)
	if err != nil {
		return err
	}
	fields := jsonFields(reflect.TypeOf(v).Elem())
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			return fmt.Errorf("field %q occurs twice", k)
		}
		if !slices.Contains(fields, k) {
			return fmt.Errorf("unknown field %q, expected %s", k, oneOf(fields))
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// objectKeys lists the keys of the outermost object in order.
func objectKeys(raw []byte) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	tok, err := dec.Token()
	if err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("expected an object")
	}
	var keys []string
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := tok.(string)
		if !ok {
			return nil, fmt.Errorf("expected a key")
		}
		keys = append(keys, key)
		if len(keys) > maxFields {
			return nil, fmt.Errorf("more than %d fields", maxFields)
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("data after the object")
	}
	return keys, nil
}

// maxFields is more than any params have.
const maxFields = 64

// jsonFields are the names under which t's fields travel.
func jsonFields(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, jsonFields(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "no fields"
	}
	return "one of " + strings.Join(names, ", ")
}
