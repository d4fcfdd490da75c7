package weights

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // error, or "" for good ones
	}{
		{"empty object", `{}`, ""},
		{"space everywhere", " {\t\"a\" :\r\n[ 1 , 2 ] } \n", ""},
		{"all kinds", `{"a":null,"b":true,"c":false,"d":-1.5e+3,"e":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t","f":[],"g":{"h":0}}`, ""},
		{"nothing", ``, "the JSON ends, expected a JSON object"},
		{"list", `[]`, "JSON has '[', expected a JSON object"},
		{"number", `1`, "expected a JSON object"},
		{"byte-order mark", "\ufeff{}", "expected a JSON object"},
		{"trailing", `{}{}`, "JSON goes on with '{'"},
		{"trailing comma", `{"a":1,}`, "expected a key in quotes"},
		{"trailing comma in a list", `{"a":[1,]}`, "expected a number"},
		{"comment", `{/*a*/}`, "expected a key in quotes"},
		{"NaN", `{"a":NaN}`, "expected a number"},
		{"Infinity", `{"a":Infinity}`, "expected a number"},
		{"-Infinity", `{"a":-Infinity}`, "expected a number"},
		{"hex", `{"a":0x10}`, "expected ',' or '}'"},
		{"point without digits", `{"a":1.}`, "expected a number"},
		{"digits missing", `{"a":.5}`, "expected a number"},
		{"exponent without digits", `{"a":1e}`, "expected a number"},
		{"leading zero", `{"a":01}`, "expected a number"},
		{"minus alone", `{"a":-}`, "expected a number"},
		{"number of 1000 digits", `{"a":` + strings.Repeat("1", 1000) + `}`, "number of 1000 digits"},
		{"half a word", `{"a":tru}`, "expected a value"},
		{"duplicate", `{"a":1,"a":1}`, `duplicate key "a"`},
		{"duplicate inside", `{"a":{"b":1,"c":2,"b":3}}`, `duplicate key "b"`},
		{"duplicate after eight", `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"a":1,"2":1}`, `duplicate key "2"`},
		{"case differs", `{"a":1,"A":2}`, ""},
		{"nested 64", nested(64), ""},
		{"nested 65", nested(65), "nested deeper than 64"},
		{"nested 10^6", nested(1_000_000), "nested deeper than 64"},
		{"many values", `{"a":[0` + strings.Repeat(",0", maxJSONNodes) + `]}`, "more than 131072 values"},
		{"open string", `{"a`, "string without an end"},
		{"escape at the end", `{"a\`, "bad escape"},
		{"surrogate at the end", `{"\ud800`, "bad escape"},
		{"surrogate and letter", `{"\ud800\u0041":1}`, "bad escape"},
		{"NUL by escape", `{"a":"\u0000"}`, ""},
		{"raw tab", "{\"a\":\"\t\"}", "control character 0x09"},
		{"invalid UTF-8", "{\"a\":\"\xc3\"}", "not valid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseObject([]byte(tt.text), KindConfig)
			skipErr := func() error {
				s := &scanner{data: []byte(tt.text), kind: KindConfig}
				if err := s.skip(); err != nil {
					return err
				}
				return s.end()
			}()
			if tt.want != "" {
				refused(t, err, KindConfig, tt.want)
				return
			}
			if err != nil || skipErr != nil {
				t.Fatal(err, skipErr)
			}
			var want any
			if err := json.Unmarshal([]byte(tt.text), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(ordinary(got), want) {
				t.Errorf("read %v, expected %v", ordinary(got), want)
			}
		})
	}
}

// nested is an object with n levels of values.
func nested(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

// ordinary turns a value into what encoding/json makes.
func ordinary(v value) any {
	switch v := v.(type) {
	case number:
		var f float64
		json.Unmarshal([]byte(v), &f)
		return f
	case []value:
		list := make([]any, len(v))
		for i := range v {
			list[i] = ordinary(v[i])
		}
		return list
	case object:
		m := map[string]any{}
		for k, x := range v.values {
			m[k] = ordinary(x)
		}
		return m
	}
	return v
}
