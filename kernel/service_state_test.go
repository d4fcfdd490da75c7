package kernel

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/weights"
)

// testClient is a client of a service without comms.
func testClient(t *testing.T) *client {
	t.Helper()
	svc := newService(cpu.Open, cpu.Estimate, 0, rpc.ServerInfo{}, slog.New(slog.DiscardHandler))
	c := svc.newClient(rpc.ClientInfo{Name: "test"})
	svc.attach(c)
	t.Cleanup(svc.shutdown)
	return c
}

func newTransformer(t *testing.T, c *client, cfg weights.Config, dtype string) string {
	t.Helper()
	r, err := c.newModel(rpc.NewParams{Config: cfg, DType: dtype, Precision: "exact", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

// entry is one tensor of a state dict.
type entry struct {
	key, dtype string
	shape      []int
	values     []float32
}

// stateOf makes a complete dict with fixed random values in canonical order.
func stateOf(cfg weights.Config) []entry {
	rnd := rand.New(rand.NewPCG(3, 3))
	var dict []entry
	for _, s := range weights.TensorShapes(cfg) {
		e := entry{key: s.Name, dtype: "float32", shape: s.Shape}
		n := 1
		for _, d := range s.Shape {
			n *= d
		}
		for range n {
			e.values = append(e.values, float32(rnd.NormFloat64()*0.3))
		}
		dict = append(dict, e)
	}
	return dict
}

func (e entry) bytes() []byte {
	switch e.dtype {
	case "float32", "int32":
		return floatBytes(e.values)
	case "float64":
		var b []byte
		for _, x := range e.values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(x)))
		}
		return b
	}
	return castFloats(plainTypes[e.dtype], "float32", floatBytes(e.values))
}

// load uploads a dict, each tensor in two pieces, and commits it.
func load(t *testing.T, c *client, model string, dict []entry, strict, assign bool) (rpc.CommitResult, error) {
	t.Helper()
	u, err := c.beginState(rpc.ModelRef{Model: model})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range dict {
		data := e.bytes()
		for _, piece := range [][2]int{{0, len(data) / 2}, {len(data) / 2, len(data)}} {
			part := data[piece[0]:piece[1]]
			err := c.putState(rpc.PutParams{
				Upload: u.Upload, Key: e.key, DType: e.dtype, Shape: e.shape, Offset: int64(piece[0]),
				Data: rpc.Describe(0, "uint8", []int{len(part)}, part),
			}, [][]byte{part})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return c.commitState(rpc.CommitParams{Upload: u.Upload, Strict: strict, Assign: assign})
}

// logitsOf runs ids through a model in a new session.
func logitsOf(t *testing.T, c *client, model string, ids []int32) []float32 {
	t.Helper()
	s, err := c.openSession(rpc.SessionParams{Model: model, MaxBatchSize: 1, MaxSeqLen: 64})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.forward(context.Background(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{ids}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.result(r.Result)
	if err != nil {
		t.Fatal(err)
	}
	return l.values
}

// toMeta renames a dict and reorders Q and K as Meta's files have them: halves
// row i + j·d/2 of a head becomes row 2i+j.
func toMeta(cfg weights.Config, dict []entry) []entry {
	var out []entry
	for _, e := range dict {
		if isQK(e.key) {
			in := e.shape[1]
			moved := make([]float32, len(e.values))
			for r := range e.shape[0] {
				head, at := r/cfg.HeadDim*cfg.HeadDim, r%cfg.HeadDim
				i, j := at%(cfg.HeadDim/2), at/(cfg.HeadDim/2)
				to := head + 2*i + j
				copy(moved[to*in:(to+1)*in], e.values[r*in:(r+1)*in])
			}
			e.values = moved
		}
		e.key = weights.MetaName(e.key)
		out = append(out, e)
	}
	return out
}

func TestLoadStateDictEqualsTheFile(t *testing.T) {
	cfg := tinyConfig()
	c := testClient(t)
	dict := stateOf(cfg)
	ids := []int32{256, 1, 2, 3, 100, 200}
	hf := newTransformer(t, c, cfg, "float32")
	if r, err := load(t, c, hf, dict, true, false); err != nil || len(r.Missing)+len(r.Unexpected) != 0 {
		t.Fatalf("got %+v %v", r, err)
	}
	want := logitsOf(t, c, hf, ids)
	if slices.Contains(want, float32(math.NaN())) || want[0] == want[1] {
		t.Fatal("the logits are not of these weights")
	}
	for name, d := range map[string][]entry{
		"Meta":         toMeta(cfg, dict),
		"wrapped":      prefixed("module._orig_mod.", dict),
		"without head": trimmed("model.", dict),
		"shuffled":     reversed(dict),
		"float64":      typed("float64", dict),
		"ignorable": append([]entry{
			{key: "rope.freqs", dtype: "float32", shape: []int{2}, values: []float32{1, 2}},
			{key: "model.layers.0.self_attn.rotary_emb.inv_freq", dtype: "float32", shape: []int{1}, values: []float32{1}},
		}, dict...),
	} {
		m := newTransformer(t, c, cfg, "float32")
		if r, err := load(t, c, m, d, true, false); err != nil || len(r.Missing)+len(r.Unexpected) != 0 {
			t.Errorf("%s: %+v %v", name, r, err)
			continue
		}
		if got := logitsOf(t, c, m, ids); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other logits", name)
		}
	}
	// A model keeps its type; with assign it takes the given one.
	half := newTransformer(t, c, cfg, "bfloat16")
	for _, tc := range []struct {
		assign bool
		dtype  string
		equal  bool
	}{{false, "bfloat16", false}, {true, "float32", true}} {
		if _, err := load(t, c, half, dict, true, tc.assign); err != nil {
			t.Fatal(err)
		}
		list, err := c.listState(rpc.ModelRef{Model: half})
		if err != nil || list.Entries[0].DType != tc.dtype || list.QKOrder != "halves" {
			t.Errorf("assign %v: %+v %v", tc.assign, list.Entries[0], err)
		}
		if got := logitsOf(t, c, half, ids); reflect.DeepEqual(got, want) != tc.equal {
			t.Errorf("assign %v: equal is %v", tc.assign, !tc.equal)
		}
	}
}

func prefixed(p string, dict []entry) []entry {
	return renamed(dict, func(k string) string { return p + k })
}

func trimmed(p string, dict []entry) []entry {
	return renamed(dict, func(k string) string { return strings.TrimPrefix(k, p) })
}

func renamed(dict []entry, f func(string) string) []entry {
	out := slices.Clone(dict)
	for i := range out {
		out[i].key = f(out[i].key)
	}
	return out
}

func typed(dtype string, dict []entry) []entry {
	out := slices.Clone(dict)
	for i := range out {
		out[i].dtype = dtype
	}
	return out
}

func reversed(dict []entry) []entry {
	out := slices.Clone(dict)
	slices.Reverse(out)
	return out
}

func without(dict []entry, keys ...string) []entry {
	return slices.DeleteFunc(slices.Clone(dict), func(e entry) bool { return slices.Contains(keys, e.key) })
}

func TestLoadStateDictErrors(t *testing.T) {
	cfg := tinyConfig()
	dict := stateOf(cfg)
	meta := toMeta(cfg, dict)
	extra := entry{key: "extra.weight", dtype: "float32", shape: []int{1}, values: []float32{1}}
	wrong := entry{key: "model.norm.weight", dtype: "float32", shape: []int{2, 3}, values: make([]float32, 6)}
	ints := entry{key: "model.norm.weight", dtype: "int32", shape: []int{32}, values: make([]float32, 32)}
	const head = "Error(s) in loading state_dict for Transformer:\n\t"
	for _, tc := range []struct {
		name   string
		dict   []entry
		strict bool
		want   string // the error's whole text, or its start when it ends in …
		miss   []string
		unexp  []string
	}{
		{"missing", without(dict, "model.norm.weight", "lm_head.weight"), true, head + `Missing key(s) in state_dict: "model.norm.weight", "lm_head.weight". `, nil, nil},
		{"missing, Meta", without(meta, "norm.weight", "output.weight"), true, head + `Missing key(s) in state_dict: "norm.weight", "output.weight". `, nil, nil},
		{"missing, wrapped", prefixed("module.", without(dict, "model.norm.weight")), true, head + `Missing key(s) in state_dict: "module.model.norm.weight". `, nil, nil},
		{"missing, bare", trimmed("model.", without(dict, "model.norm.weight")), true, head + `Missing key(s) in state_dict: "norm.weight". `, nil, nil},
		{"both", append(without(dict, "model.norm.weight"), extra), true,
			head + `Missing key(s) in state_dict: "model.norm.weight". ` + "\n\t" + `Unexpected key(s) in state_dict: "extra.weight". `, nil, nil},
		{"not strict", append(without(dict, "model.norm.weight"), extra), false, "", []string{"model.norm.weight"}, []string{"extra.weight"}},
		{"shape", append(without(dict, "model.norm.weight"), wrong), false,
			head + "size mismatch for model.norm.weight: copying a param with shape torch.Size([2, 3]) from checkpoint, the shape in current model is torch.Size([32]).", nil, nil},
		{"all three", append(without(dict, "model.norm.weight", "lm_head.weight"), wrong, extra), true,
			head + `Missing key(s) in state_dict: "lm_head.weight". ` + "\n\t" + `Unexpected key(s) in state_dict: "extra.weight". ` + "\n\t" + "size mismatch for model.norm.weight: copying a param with shape torch.Size([2, 3]) from checkpoint, the shape in current model is torch.Size([32]).", nil, nil},
		{"integers", append(without(dict, "model.norm.weight"), ints), true,
			head + `While copying the parameter named "model.norm.weight", expected a floating-point tensor from checkpoint but received int32`, nil, nil},
		{"mixed", append(slices.Clone(dict[:3]), meta[3:]...), false, head + "the keys mix Meta's names…", nil, nil},
		{"twice", append(slices.Clone(dict), prefixed("module.", dict[:1])...), false, head + `"model.embed_tokens.weight" and "module.model.embed_tokens.weight" name the same parameter.`, nil, nil},
		{"empty", nil, true, head + `Missing key(s) in state_dict: "tok_embeddings.weight", "layers.0.attention.wq.weight", …`, nil, nil},
		{"empty, not strict", nil, false, "", nil, []string{}},
		{"layer too many", append(slices.Clone(dict), entry{key: "model.layers.2.input_layernorm.weight", dtype: "float32", shape: []int{32}, values: make([]float32, 32)}), false, "", []string{}, []string{"model.layers.2.input_layernorm.weight"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testClient(t)
			m := newTransformer(t, c, cfg, "float32")
			before := logitsOf(t, c, m, []int32{256, 5})
			r, err := load(t, c, m, tc.dict, tc.strict, false)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if tc.miss != nil && !reflect.DeepEqual(r.Missing, tc.miss) || tc.unexp != nil && !reflect.DeepEqual(r.Unexpected, tc.unexp) {
					t.Errorf("got %+v", r)
				}
				return
			}
			if kindOf(err) != rpc.KindStateDict {
				t.Fatalf("got %s %v", kindOf(err), err)
			}
			got := err.(*rpc.Error).Message
			if start, ok := strings.CutSuffix(tc.want, "…"); got != tc.want && !(ok && strings.HasPrefix(got, start)) {
				t.Errorf("got\n%q, want\n%q", got, tc.want)
			}
			if after := logitsOf(t, c, m, []int32{256, 5}); !reflect.DeepEqual(after, before) {
				t.Error("a failed load changed the model")
			}
		})
	}
}

func TestTiedHead(t *testing.T) {
	cfg := tinyConfig()
	cfg.TieWordEmbeddings = true
	c := testClient(t)
	dict := stateOf(cfg)
	ids := []int32{256, 9}
	m := newTransformer(t, c, cfg, "float32")
	if r, err := load(t, c, m, dict, true, false); err != nil || len(r.Missing) != 0 {
		t.Fatalf("a tied head is missing: %+v %v", r, err)
	}
	want := logitsOf(t, c, m, ids)
	head := dict[0]
	head.key = "lm_head.weight"
	if r, err := load(t, c, m, append(slices.Clone(dict), head), true, false); err != nil || len(r.Unexpected) != 0 {
		t.Fatalf("a tied head is unexpected: %+v %v", r, err)
	}
	if got := logitsOf(t, c, m, ids); !reflect.DeepEqual(got, want) {
		t.Error("the head changed the logits")
	}
	head.shape = []int{2}
	head.values = head.values[:2]
	if _, err := load(t, c, m, append(slices.Clone(dict), head), true, false); err == nil || !strings.Contains(err.Error(), "size mismatch for lm_head.weight") {
		t.Errorf("a head of another shape: %v", err)
	}
}

func TestLoadStateDictOnASharedModelGivesAPrivateCopy(t *testing.T) {
	c := testClient(t)
	path := tinyModel(t)
	open := func() string {
		r, err := c.openModel(context.Background(), rpc.OpenParams{Path: path, Precision: "exact"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Model
	}
	a, b := open(), open()
	ids := []int32{256, 7, 8}
	before := logitsOf(t, c, b, ids)
	cfg := tinyConfig()
	norm := entry{key: "norm.weight", dtype: "float32", shape: []int{cfg.HiddenSize}, values: make([]float32, cfg.HiddenSize)}
	for i := range norm.values {
		norm.values[i] = 2
	}
	s, err := c.openSession(rpc.SessionParams{Model: a})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.forward(context.Background(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{ids}}); err != nil {
		t.Fatal(err)
	}
	r, err := load(t, c, a, []entry{norm}, false, false)
	if err != nil || len(r.Missing) != len(weights.TensorShapes(cfg))-1 || r.Missing[0] != "tok_embeddings.weight" {
		t.Fatalf("got %+v %v", r, err)
	}
	changed := logitsOf(t, c, a, ids)
	for i := range changed {
		if d := math.Abs(float64(changed[i] - 2*before[i])); d > 1e-4 {
			t.Fatalf("logit %d is %v, expected twice %v", i, changed[i], before[i])
		}
	}
	if after := logitsOf(t, c, b, ids); !reflect.DeepEqual(after, before) {
		t.Error("the shared model changed")
	}
	// The old session begins anew on the new weights.
	if _, err := c.forward(context.Background(), rpc.ForwardParams{Session: s.Session, Tokens: [][]int32{{1}}, StartPos: 3}); kindOf(mapError(err)) != rpc.KindRequest {
		t.Errorf("start_pos past what the new weights have computed: %v", err)
	}
	// The tokenizer stays.
	if _, err := c.tokenize(rpc.TokenizeParams{Model: a, Text: "x"}); err != nil {
		t.Error(err)
	}
	ps := c.svc.ps()
	if len(ps.Models) != 2 || ps.Models[0].Private == ps.Models[1].Private {
		t.Errorf("ps %+v", ps.Models)
	}
	// A second load goes over the first; the files stay open as long as needed.
	if err := c.closeModel(rpc.ModelRef{Model: b}); err != nil {
		t.Fatal(err)
	}
	if c.svc.reg.evictOne() {
		t.Error("files under a private copy were evicted")
	}
	if _, err := load(t, c, a, stateOf(cfg), true, false); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{s.Session} {
		if err := c.closeSession(rpc.SessionRef{Session: id}); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	sessions := c.sessions
	c.sessions = map[string]*session{}
	c.mu.Unlock()
	for _, s := range sessions {
		s.close()
	}
	if !c.svc.reg.evictOne() {
		t.Error("a fully replaced copy still holds the files")
	}
	logitsOf(t, c, a, ids)
}

func TestUploadsAreChecked(t *testing.T) {
	c := testClient(t)
	m := newTransformer(t, c, tinyConfig(), "float32")
	u, err := c.beginState(rpc.ModelRef{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	data := floatBytes(make([]float32, 32))
	good := rpc.PutParams{Upload: u.Upload, Key: "norm.weight", DType: "float32", Shape: []int{32}, Data: rpc.Describe(0, "uint8", []int{64}, data[:64])}
	put := func(change func(*rpc.PutParams)) error {
		p := good
		change(&p)
		return c.putState(p, [][]byte{data[:64]})
	}
	if err := put(func(*rpc.PutParams) {}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*rpc.PutParams)
		want   string
	}{
		"upload": {func(p *rpc.PutParams) { p.Upload = "u99" }, "unknown upload"},
		"key":    {func(p *rpc.PutParams) { p.Key = "" }, "a key has 0 bytes"},
		"dtype":  {func(p *rpc.PutParams) { p.DType = "float8" }, `dtype "float8" is unknown`},
		"shape":  {func(p *rpc.PutParams) { p.Shape = []int{1 << 40, 1 << 40} }, "does not fit"},
		"change": {func(p *rpc.PutParams) { p.Shape = []int{16, 2} }, "an earlier one"},
		"gap":    {func(p *rpc.PutParams) { p.Offset = 100 }, "begins at byte 100, expected 64"},
		"again":  {func(p *rpc.PutParams) { p.Offset = 0 }, "begins at byte 0, expected 64"},
		"crc":    {func(p *rpc.PutParams) { p.Offset = 64; p.Data.CRC32C++ }, "damaged or mixed up"},
		"past":   {func(p *rpc.PutParams) { p.Key = "x"; p.Shape = []int{2} }, "the tensor has 8"},
	} {
		if err := put(tc.change); kindOf(mapError(err)) != rpc.KindRequest || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	if _, err := c.commitState(rpc.CommitParams{Upload: u.Upload}); err == nil || !strings.Contains(err.Error(), "64 of 128 bytes have come") {
		t.Errorf("an incomplete upload: %v", err)
	}
	if err := c.abortState(rpc.UploadRef(u)); err == nil {
		t.Error("a commit leaves the upload open")
	}
	// What was promised and never came is forgotten with the upload.
	for _, end := range []func(string) error{
		func(id string) error { return c.abortState(rpc.UploadRef{Upload: id}) },
		func(string) error { return c.closeModel(rpc.ModelRef{Model: m}) },
	} {
		u, err := c.beginState(rpc.ModelRef{Model: m})
		if err != nil {
			t.Fatal(err)
		}
		if err := put(func(p *rpc.PutParams) { p.Upload = u.Upload }); err != nil {
			t.Fatal(err)
		}
		if n := c.svc.promised.Load(); n != 64 {
			t.Errorf("%d bytes are promised, expected 64", n)
		}
		if err := end(u.Upload); err != nil {
			t.Fatal(err)
		}
		if n := c.svc.promised.Load(); n != 0 {
			t.Errorf("%d bytes are promised still", n)
		}
	}
	m = newTransformer(t, c, tinyConfig(), "float32")
	for range maxUploads {
		if _, err := c.beginState(rpc.ModelRef{Model: m}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.beginState(rpc.ModelRef{Model: m}); err == nil || !strings.Contains(err.Error(), "at most 16") {
		t.Errorf("too many uploads: %v", err)
	}
}

// What was loaded is read back, also from a model whose backend quantizes it.
func TestReadStateGivesBackWhatWasLoaded(t *testing.T) {
	cfg := tinyConfig()
	c := testClient(t)
	var m string
	for _, q := range []string{"int4", "int8", ""} {
		r, err := c.newModel(rpc.NewParams{Config: cfg, DType: "float32", Quantize: q, Precision: "exact", Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		m = r.Model
		dict := stateOf(cfg)
		if _, err := load(t, c, m, toMeta(cfg, dict), true, false); err != nil {
			t.Fatal(err)
		}
		for _, e := range dict { // in halves order, as the model has it
			data := e.bytes()
			got, err := c.readState(rpc.ReadParams{Model: m, Key: e.key, Offset: 4, Bytes: int64(len(data)) - 4})
			if err != nil || !reflect.DeepEqual(got, data[4:]) {
				t.Errorf("quantize %q: %s: other bytes, %v", q, e.key, err)
			}
		}
	}
	for _, p := range []rpc.ReadParams{
		{Model: m, Key: "x", Bytes: 1}, {Model: m, Key: "model.norm.weight", Bytes: 129}, {Model: m, Key: "model.norm.weight", Bytes: 0},
		{Model: m, Key: "model.norm.weight", Offset: -1, Bytes: 1}, {Model: m, Key: "model.norm.weight", Offset: math.MaxInt64, Bytes: 1},
	} {
		if _, err := c.readState(p); kindOf(mapError(err)) != rpc.KindRequest {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestCastFloats(t *testing.T) {
	for _, tc := range []struct {
		x         float32
		f16, bf16 uint16
	}{
		{1, 0x3c00, 0x3f80}, {-2.5, 0xc100, 0xc020}, {65520, 0x7c00, 0x4780}, {1e-8, 0, 0x322c},
		{1 + 1.0/256, 0x3c04, 0x3f80}, {1 + 3.0/256, 0x3c0c, 0x3f82}, // ties go to even
		{float32(math.Inf(1)), 0x7c00, 0x7f80}, {math.MaxFloat32, 0x7c00, 0x7f80},
	} {
		b := floatBytes([]float32{tc.x})
		if got := binary.LittleEndian.Uint16(castFloats(weights.F16, "float32", b)); got != tc.f16 {
			t.Errorf("float16 of %v is %04x, expected %04x", tc.x, got, tc.f16)
		}
		if got := binary.LittleEndian.Uint16(castFloats(weights.BF16, "float32", b)); got != tc.bf16 {
			t.Errorf("bfloat16 of %v is %04x, expected %04x", tc.x, got, tc.bf16)
		}
	}
	nan := castFloats(weights.BF16, "float32", floatBytes([]float32{float32(math.NaN())}))
	back := castFloats(weights.F32, "bfloat16", nan)
	if x := math.Float32frombits(binary.LittleEndian.Uint32(back)); x == x {
		t.Errorf("a NaN became %v", x)
	}
}

// TestWhatAnOverlayKeeps: the memory check counts what is to be made, and copies
// of what stays beside them.
func TestWhatAnOverlayKeeps(t *testing.T) {
	cfg := tinyConfig()
	base := newOverlay(cfg, engine.RandomSource(cfg, weights.F16, 1), weights.F16, nil)
	all := base.WeightBytes()
	head := weights.View{DType: weights.F32, Shape: base.shapes["lm_head.weight"], Data: make([]byte, 4*cfg.VocabSize*cfg.HiddenSize)}
	some := base.with(map[string]weights.View{"lm_head.weight": head})
	if n := some.WeightBytes(); n != all-int64(2*cfg.VocabSize*cfg.HiddenSize) {
		t.Errorf("%d of %d bytes are to be made", n, all)
	}
	if a, b := some.KeptType("lm_head.weight"), some.KeptType("model.norm.weight"); a != weights.F32 || b != 0 {
		t.Errorf("kept are %v and %v, want F32 and nothing", a, b)
	}
	files := newOverlay(cfg, weights.NewMemory([]weights.View{{Name: "model.norm.weight", DType: weights.BF16}}, weights.Halves), 0, nil)
	if d := files.KeptType("model.norm.weight"); d != weights.BF16 || files.WeightBytes() != 0 {
		t.Errorf("of files %v is kept and %d bytes are to be made", d, files.WeightBytes())
	}
}
