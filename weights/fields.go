package weights

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// fields reads the members of a JSON object by name and type. The first error
// stays; null counts as absent. What was never asked for is unknown.
type fields struct {
	object
	where string // the object's path in the file: "" or "rope_scaling."
	asked map[string]bool
	err   error
}

func newFields(o object, where string) *fields {
	return &fields{object: o, where: where, asked: map[string]bool{}}
}

func (f *fields) fail(key, format string, args ...any) {
	if f.err == nil {
		f.err = &Error{Kind: KindConfig, Where: f.where + key, Msg: fmt.Sprintf(format, args...)}
	}
}

// get returns the value under the first of the names that is there and not
// null. Two names with different values are an error.
func (f *fields) get(names ...string) (key string, v value) {
	for _, name := range names {
		f.asked[name] = true
		got := f.values[name]
		if got == nil {
			continue
		}
		if v == nil {
			key, v = name, got
		} else if plain(got) != plain(v) {
			f.fail(name, "is %s, but %s is %s", plain(got), key, plain(v))
		}
	}
	return key, v
}

// has reports whether a name is there and not null.
func (f *fields) has(names ...string) bool {
	_, v := f.get(names...)
	return v != nil
}

// integer returns the field as an integer of any sign, or absent.
func (f *fields) integer(absent int, names ...string) int {
	key, v := f.get(names...)
	if v == nil {
		return absent
	}
	n, ok := v.(number)
	i, err := strconv.ParseInt(string(n), 10, strconv.IntSize)
	if !ok || err != nil {
		f.fail(key, "is %s, expected an integer", plain(v))
		return absent
	}
	return int(i)
}

// float returns the field as a finite number, or absent.
func (f *fields) float(absent float64, names ...string) float64 {
	key, v := f.get(names...)
	if v == nil {
		return absent
	}
	n, ok := v.(number)
	x, err := strconv.ParseFloat(string(n), 64)
	if !ok || err != nil || math.IsInf(x, 0) {
		f.fail(key, "is %s, expected a finite number", plain(v))
		return absent
	}
	return x
}

func (f *fields) boolean(absent bool, names ...string) bool {
	key, v := f.get(names...)
	if v == nil {
		return absent
	}
	b, ok := v.(bool)
	if !ok {
		f.fail(key, "is %s, expected true or false", plain(v))
	}
	return b
}

func (f *fields) text(absent string, names ...string) string {
	key, v := f.get(names...)
	if v == nil {
		return absent
	}
	s, ok := v.(string)
	if !ok {
		f.fail(key, "is %s, expected a string", plain(v))
	}
	return s
}

// child returns the members of an object field; ok is false when it is absent.
func (f *fields) child(name string) (c *fields, ok bool) {
	_, v := f.get(name)
	if v == nil {
		return nil, false
	}
	o, ok := v.(object)
	if !ok {
		f.fail(name, "is %s, expected an object", plain(v))
	}
	return newFields(o, f.where+name+"."), ok
}

// ids reads a token id or a list of them.
func (f *fields) ids(name string) []int {
	_, v := f.get(name)
	var list []value
	switch v := v.(type) {
	case nil:
		return nil
	case number:
		list = []value{v}
	case []value:
		list = v
	}
	var ids []int
	for _, one := range list {
		n, _ := one.(number)
		id, err := strconv.Atoi(string(n))
		if err != nil || id < 0 || id >= maxModelVoc {
			f.fail(name, "has %s, expected a token id of 0 to %d", plain(one), maxModelVoc-1)
			return nil
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		if len(ids) > maxEOS {
			f.fail(name, "has more than %d ids", maxEOS)
			return nil
		}
	}
	if ids == nil {
		f.fail(name, "is %s, expected a token id or a list of them", plain(v))
	}
	return ids
}

// unknown lists the keys that nobody asked for and that are not in known.
func (f *fields) unknown(known map[string]bool) []string {
	var list []string
	for _, key := range f.keys {
		if !f.asked[key] && !known[key] {
			list = append(list, f.where+clip(key))
		}
	}
	return list
}

// plain is a value as a message shows it.
func plain(v value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case number:
		return clip(string(v))
	case string:
		return strconv.Quote(clip(v))
	case bool:
		return strconv.FormatBool(v)
	case object:
		return "an object"
	}
	return "a list"
}
