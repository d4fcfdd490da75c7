package rpc

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// schema is the types of every method; the golden files have one message each.
var schema = map[string]struct{ params, result, progress any }{
	"comm_open":        {params: Open{}, result: Hello{}},
	MethodCancel:       {params: CancelParams{}},
	MethodAck:          {params: IDsParams{}},
	MethodResume:       {params: IDsParams{}},
	MethodModelOpen:    {OpenParams{}, OpenResult{}, LoadProgress{}},
	MethodModelNew:     {params: NewParams{}, result: NewResult{}},
	MethodModelClose:   {params: ModelRef{}, result: Empty{}},
	MethodStateBegin:   {params: ModelRef{}, result: BeginResult{}},
	MethodStatePut:     {params: PutParams{}, result: Empty{}},
	MethodStateCommit:  {params: CommitParams{}, result: CommitResult{}},
	MethodStateAbort:   {params: UploadRef{}, result: Empty{}},
	MethodStateList:    {params: ModelRef{}, result: ListResult{}},
	MethodStateRead:    {params: ReadParams{}, result: ReadResult{}},
	MethodSessionOpen:  {params: SessionParams{}, result: SessionResult{}},
	MethodSessionClose: {params: SessionRef{}, result: Empty{}},
	MethodForward:      {params: ForwardParams{}, result: ForwardResult{}},
	MethodResultRead:   {params: ResultReadParams{}, result: ResultReadResult{}},
	MethodResultReduce: {params: ReduceParams{}, result: ReduceResult{}},
	MethodResultFree:   {params: ResultRef{}, result: Empty{}},
	MethodGenerate:     {GenerateParams{}, GenerateResult{}, GenerateProgress{}},
	MethodTokenize:     {params: TokenizeParams{}, result: IDs{}},
	MethodDetokenize:   {params: DetokenizeParams{}, result: TextResult{}},
	MethodChatEncode:   {params: ChatParams{}, result: ChatResult{}},
	MethodStats:        {params: Empty{}, result: StatsResult{}},
	MethodPS:           {params: Empty{}, result: PSResult{}},
	MethodShutdown:     {params: ShutdownParams{}, result: Empty{}},
}

type golden struct {
	Method   string          `json:"method"`
	Params   json.RawMessage `json:"params"`
	Result   json.RawMessage `json:"result"`
	Progress json.RawMessage `json:"progress"`
	Error    json.RawMessage `json:"error"`
}

// roundTrip decodes raw strictly into a new value of v's type and compares its
// encoding with raw.
func roundTrip(t *testing.T, what string, raw json.RawMessage, v any) {
	t.Helper()
	if v == nil {
		if raw != nil {
			t.Errorf("%s: the schema has none", what)
		}
		return
	}
	if raw == nil {
		t.Errorf("%s is missing", what)
		return
	}
	p := reflect.New(reflect.TypeOf(v))
	if err := decodeStrict(raw, p.Interface()); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	out, err := json.Marshal(p.Interface())
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if got, want := canonical(t, out), canonical(t, raw); got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// canonical sorts keys and writes fractions in one way; integers keep all digits.
func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(fractions(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func fractions(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = fractions(v[k])
		}
	case []any:
		for i := range v {
			v[i] = fractions(v[i])
		}
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			f, err := v.Float64()
			if err != nil {
				return v
			}
			return f
		}
	}
	return v
}

func TestGoldenMessages(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var g golden
			if err := decodeStrict(data, &g); err != nil {
				t.Fatal(err)
			}
			if name == "error" {
				roundTrip(t, "error", g.Error, Error{})
				return
			}
			if strings.TrimPrefix(g.Method, "$/") != name {
				t.Errorf("file of method %q", g.Method)
			}
			s, ok := schema[g.Method]
			if !ok {
				t.Fatalf("unknown method %q", g.Method)
			}
			seen[g.Method] = true
			roundTrip(t, "params", g.Params, s.params)
			roundTrip(t, "result", g.Result, s.result)
			roundTrip(t, "progress", g.Progress, s.progress)
		})
	}
	for m := range schema {
		if !seen[m] {
			t.Errorf("no golden message of %s", m)
		}
	}
}

func TestDecodeStrict(t *testing.T) {
	for _, tc := range []struct{ name, raw, want string }{
		{"good", `{"id": 3}`, ""},
		{"absent", ``, ""},
		{"null", `null`, ""},
		{"unknown", `{"id": 3, "x": 1}`, `unknown field "x", expected one of id`},
		{"case", `{"ID": 3}`, `unknown field "ID", expected one of id`},
		{"twice", `{"id": 3, "id": 4}`, `field "id" occurs twice`},
		{"type", `{"id": "3"}`, "cannot unmarshal string"},
		{"fraction", `{"id": 3.5}`, "cannot unmarshal number"},
		{"array", `[3]`, "expected an object"},
		{"trailing", `{"id": 3} {}`, "data after the object"},
		{"cut", `{"id": 3`, "EOF"},
		{"utf8", "{\"id\": 3, \"\xff\": 1}", "not valid UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p CancelParams
			err := decodeStrict(json.RawMessage(tc.raw), &p)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTensorTake(t *testing.T) {
	data := []byte{0, 0, 128, 63, 0, 0, 0, 64}
	good := Describe(0, "float32", []int{2}, data)
	if got, err := good.Take([][]byte{data}); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, tc := range []struct {
		name, want string
		change     func(*Tensor)
	}{
		{"index", "names buffer 1", func(t *Tensor) { t.Buffer = 1 }},
		{"negative index", "names buffer -1", func(t *Tensor) { t.Buffer = -1 }},
		{"size", "description says 9", func(t *Tensor) { t.Bytes = 9 }},
		{"dtype", `dtype "float33" is unknown`, func(t *Tensor) { t.DType = "float33" }},
		{"shape", "takes 12", func(t *Tensor) { t.Shape = []int{3} }},
		{"negative shape", "negative dimension", func(t *Tensor) { t.Shape = []int{-2} }},
		{"huge shape", "does not fit 63 bits", func(t *Tensor) { t.Shape = []int{1 << 40, 1 << 40} }},
		{"rank", "9 dimensions", func(t *Tensor) { t.Shape = make([]int, 9) }},
		{"crc", "damaged or mixed up", func(t *Tensor) { t.CRC32C++ }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := good
			tc.change(&bad)
			if _, err := bad.Take([][]byte{data}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	// The check value of CRC-32C (RFC 3720, B.4: 32 bytes of zeros).
	if got := Describe(0, "uint8", []int{32}, make([]byte, 32)).CRC32C; got != 0x8a9136aa {
		t.Errorf("crc32c of 32 zeros is %08x, expected 8a9136aa", got)
	}
}
