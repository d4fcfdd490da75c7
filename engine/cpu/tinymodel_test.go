package cpu_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"testing"

	"github.com/x448/float16"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/engine/cpu"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// tinyCase is an entry of testdata/tiny.json, which testdata/gen.py makes.
type tinyCase struct {
	Name      string      `json:"name"`
	DType     string      `json:"dtype"`
	Config    tinyConfig  `json:"config"`
	IDs       []int32     `json:"ids"`
	Positions []int       `json:"positions"`
	InvFreq   []float64   `json:"inv_freq"`
	Logits    [][]float64 `json:"logits"` // (len(Positions), vocab)
}

type tinyConfig struct{ weights.Config }

// UnmarshalJSON takes the fields by their names in weights.Config.
func (c *tinyConfig) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &c.Config) }

func tinyCases(t testing.TB) []tinyCase {
	t.Helper()
	b, err := os.ReadFile("testdata/tiny.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []tinyCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// raceDetector tells whether the test runs with -race, which makes the kernels
// tens of times slower.
var raceDetector bool

// fewerCases are all cases, or every fourth with -race: one of floats, of
// halves and of blocks.
func fewerCases(t testing.TB) []tinyCase {
	cases := tinyCases(t)
	if !raceDetector {
		return cases
	}
	var few []tinyCase
	for i := 1; i < len(cases); i += 4 {
		few = append(few, cases[i])
	}
	return few
}

// splitmix is word i of the generator in gen.py: the finalizer of splitmix64
// over a counter.
func splitmix(seed uint64, i int) uint64 {
	z := seed + uint64(i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func seedOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// tinyHalves are the places of a block's f16 numbers and their signs and
// exponents: HALVES in gen.py.
var tinyHalves = map[weights.DType]map[int]byte{
	weights.Q8_0: {0: 0x10}, weights.Q4_0: {0: 0x20}, weights.Q4_1: {0: 0x20, 2: 0xa8},
	weights.Q5_0: {0: 0x1c}, weights.Q5_1: {0: 0x1c, 2: 0xa8},
	weights.Q4_K: {0: 0x08, 2: 0x14}, weights.Q5_K: {0: 0x04, 2: 0x14}, weights.Q6_K: {208: 0x00},
}

// tinyBytes are the stored bytes of a tensor; see tensor in gen.py.
func tinyBytes(name string, shape []int, dtype weights.DType) []byte {
	n := 1
	for _, d := range shape {
		n *= d
	}
	seed := seedOf(name)
	out := make([]byte, 0, 4*n)
	put := func(v float32) {
		switch dtype {
		case weights.F32:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		case weights.F16:
			out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(v).Bits())
		case weights.BF16:
			out = binary.LittleEndian.AppendUint16(out, uint16(math.Float32bits(v)>>16))
		}
	}
	bits := map[weights.DType]int{weights.F32: 24, weights.F16: 12, weights.BF16: 9}[dtype]
	switch {
	case len(shape) == 1:
		for i := range n {
			put(1 + float32(splitmix(seed, i)>>58)/64)
		}
	case bits > 0:
		for i := range n {
			k := int64(splitmix(seed, i)>>(64-bits)) - 1<<(bits-1)
			put(float32(math.Ldexp(float64(k), -(bits + 2))))
		}
	default:
		size := dtype.BlockBytes()
		words := max(5, (size+7)/8)
		for b := range n / dtype.BlockSize() {
			var raw []byte
			for i := range words {
				raw = binary.LittleEndian.AppendUint64(raw, splitmix(seed, words*b+i))
			}
			for at, high := range tinyHalves[dtype] {
				raw[at+1] = raw[at+1]&3 | high
			}
			out = append(out, raw[:size]...)
		}
	}
	return out
}

var dtypeNames = map[string]weights.DType{"F32": weights.F32, "F16": weights.F16, "BF16": weights.BF16,
	"Q8_0": weights.Q8_0, "Q4_0": weights.Q4_0, "Q4_1": weights.Q4_1, "Q5_0": weights.Q5_0, "Q5_1": weights.Q5_1,
	"Q4_K": weights.Q4_K, "Q5_K": weights.Q5_K, "Q6_K": weights.Q6_K}

// views are the tensors of the case's model. Norms of a quantized model are
// F32, as in GGUF files.
func (c *tinyCase) views() []weights.View {
	dtype := dtypeNames[c.DType]
	var views []weights.View
	for _, s := range weights.TensorShapes(c.Config.Config) {
		d := dtype
		if len(s.Shape) == 1 && d.BlockSize() > 1 {
			d = weights.F32
		}
		views = append(views, weights.View{Name: s.Name, DType: d, Shape: s.Shape, Data: tinyBytes(s.Name, s.Shape, d)})
	}
	return views
}

func (c *tinyCase) source() *weights.Memory { return weights.NewMemory(c.views(), weights.Halves) }

// open opens a backend in exact mode and closes it when the test ends.
func open(t testing.TB, cfg weights.Config, src weights.Source, threads int) engine.Backend {
	t.Helper()
	return openIn(t, engine.Exact, cfg, src, threads)
}

// openIn is open in a named mode.
func openIn(t testing.TB, mode engine.Precision, cfg weights.Config, src weights.Source, threads int) engine.Backend {
	t.Helper()
	return openQuantized(t, mode, engine.NoQuantize, cfg, src, threads)
}

// openQuantized is openIn that quantizes.
func openQuantized(t testing.TB, mode engine.Precision, q engine.Quantize, cfg weights.Config, src weights.Source, threads int) engine.Backend {
	t.Helper()
	b, err := cpu.Open(context.Background(), cfg, src, engine.BackendOptions{Precision: mode, Quantize: q, Threads: threads}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// packs tells whether a plan multiplies a type, here by its name, from panels.
func packs(plan *simd.Plan, name string) bool {
	for t := simd.F32; t <= simd.Q6_K; t++ {
		if t.String() == name {
			return plan.Packs(t)
		}
	}
	panic("no type " + name)
}

// modes are both numerics modes.
var modes = []engine.Precision{engine.Exact, engine.Fast}

// eachModeAndCase runs f for fewerCases in both modes.
func eachModeAndCase(t *testing.T, f func(t *testing.T, mode engine.Precision, c *tinyCase)) {
	for _, mode := range modes {
		for _, c := range fewerCases(t) {
			t.Run(string(mode)+"/"+c.Name, func(t *testing.T) { f(t, mode, &c) })
		}
	}
}

// step runs a batch that must succeed.
func step(t testing.TB, b engine.Backend, rows ...engine.Row) [][]float32 {
	t.Helper()
	res, err := b.Step(context.Background(), &engine.Batch{Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	return res.Logits
}

// blocks are n block numbers from first.
func blocks(first, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(first + i)
	}
	return ids
}

// farthest is the largest difference of two rows of logits.
func farthest(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		panic(fmt.Sprintf("%d logits against %d", len(got), len(want)))
	}
	d := 0.0
	for i, v := range got {
		e := math.Abs(float64(v) - want[i])
		if !(e <= d) { // a NaN counts as far
			d = e
		}
	}
	return d
}

func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}
