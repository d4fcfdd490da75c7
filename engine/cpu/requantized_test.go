package cpu_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/testdata"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// decodedViews are views with every matrix of blocks widened to F32.
func decodedViews(t testing.TB, views []weights.View) []weights.View {
	t.Helper()
	types := map[string]simd.Type{}
	for typ := simd.Q8_0; typ <= simd.Q6_K; typ++ {
		types[typ.String()] = typ
	}
	out := append([]weights.View(nil), views...)
	for i, v := range out {
		if v.DType.BlockSize() == 1 {
			continue
		}
		typ, ok := types[v.DType.String()]
		if !ok {
			t.Fatalf("no decoder for %s", v.DType)
		}
		row := make([]float32, len(v.Data)/v.DType.BlockBytes()*v.DType.BlockSize())
		simd.Decode(typ, row, v.Data)
		var b bytes.Buffer
		b.Grow(4 * len(row))
		for _, w := range row {
			bits := math.Float32bits(w)
			b.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
		}
		out[i].DType, out[i].Data = weights.F32, b.Bytes()
	}
	return out
}

// checkSameBits steps through ids with both backends.
func checkSameBits(t *testing.T, ids []int32, blockCount int, a, b engine.Backend) {
	t.Helper()
	row := engine.Row{Tokens: ids, Blocks: blocks(0, blockCount), LastN: len(ids)}
	want := step(t, b, row)[0]
	for i, got := range step(t, a, row)[0] {
		if math.Float32bits(got) != math.Float32bits(want[i]) {
			t.Fatalf("logit %d is %v, from decoded weights %v", i, got, want[i])
		}
	}
}

// Exact mode multiplies blocks with the bits of a float32 model that holds what
// they decode to, whatever the type, its kernel and its panels.
func TestExactModeIsTheDecodedModel(t *testing.T) {
	for _, c := range tinyCases(t) {
		if dtypeNames[c.DType].BlockSize() == 1 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if plan := simd.NewPlan(false); packs(plan, "F32") != packs(plan, c.DType) {
				t.Skip("this unit has kernels for float32 and none for blocks")
			}
			wide := weights.NewMemory(decodedViews(t, c.views()), weights.Halves)
			checkSameBits(t, c.IDs, 3, open(t, c.Config.Config, c.source(), 2), open(t, c.Config.Config, wide, 1))
		})
	}
}

// requantized are the kinds of files that llama.cpp makes of smollm2, and what
// fast mode may differ by from exact mode on each: the mean over all tokens of
// |Δ log-probability|, the mean NLL, and the other argmaxes of all. llama.cpp
// itself, whose activations are int8 too, may differ by twice that.
var requantized = []struct {
	name, ftype string
	types       []weights.DType // that it holds, among others
	mean, nll   float64
	flips       int
}{
	{"Q4_K_M", "15", []weights.DType{weights.Q4_K, weights.Q5_0, weights.Q6_K, weights.Q8_0}, 0.08, 0.02, 45},
	{"Q5_K_M", "17", []weights.DType{weights.Q5_K, weights.Q5_1, weights.Q6_K, weights.Q8_0}, 0.08, 0.02, 45},
	{"Q6_K", "18", []weights.DType{weights.Q6_K, weights.Q8_0}, 0.08, 0.02, 45},
}

// smollm2 in other types of blocks: exact mode has the bits of the decoded file,
// fast mode and llama.cpp lie near it.
func TestSmolLM2Requantized(t *testing.T) {
	python := os.Getenv("LLAMA_GO_LLAMA_CPP_PYTHON")
	if python == "" {
		t.Skip("LLAMA_GO_LLAMA_CPP_PYTHON names no python with llama-cpp-python, which quantizes the file")
	}
	if testing.Short() || raceDetector {
		t.Skip("smollm2 takes tens of seconds, minutes under the race detector: not with -short or -race")
	}
	var g smolGolden
	readGolden(t, &g, testdata.Dir(t), "smollm2", "golden.json")
	ids := g.Perplexity.IDs[:512]
	kv := len(ids)/engine.BlockSize + 1
	question, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range requantized {
		t.Run(q.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "smollm2."+q.name+".gguf")
			cmd := exec.Command(python, filepath.Join("testdata", "requantize.py"), testdata.SmolLM2(t), path, q.ftype)
			var log strings.Builder
			cmd.Stdin, cmd.Stderr = bytes.NewReader(question), &log
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("requantize.py: %v\n%s", err, log.String())
			}
			var peer struct {
				LogProbs []float64
				Argmax   []int32
			}
			if err := json.Unmarshal(out, &peer); err != nil || len(peer.LogProbs) != len(ids)-1 {
				t.Fatalf("requantize.py answered %d log-probabilities, error %v", len(peer.LogProbs), err)
			}
			ck, exact := openCheckpoint(t, path, engine.Exact, 0)
			_, fast := openCheckpoint(t, path, engine.Fast, 0)
			var views []weights.View
			held := map[weights.DType]int{}
			for _, name := range ck.Names() {
				v, _ := ck.Tensor(name)
				v.Name = name
				views = append(views, v)
				held[v.DType]++
			}
			for _, d := range q.types {
				if held[d] == 0 {
					t.Errorf("the file holds no %s: %v", d, held)
				}
			}
			if plan := simd.NewPlan(false); packs(plan, "F32") == packs(plan, q.types[0].String()) {
				decoded := open(t, ck.Config, weights.NewMemory(decodedViews(t, views), ck.QKOrder()), 0)
				checkSameBits(t, ids[:24], 1, exact, decoded)
			}

			want := tokenLogProbs(t, exact, ids, kv, ck.Config.VocabSize)
			got := tokenLogProbs(t, fast, ids, kv, ck.Config.VocabSize)
			theirs := forced{peer.LogProbs, peer.Argmax}
			mean, nll, flips := want.far(got)
			peerMean, peerNLL, peerFlips := want.far(theirs)
			t.Logf("mean NLL %.4f; fast: mean |Δlogprob| %.4f, ΔNLL %+.4f, %d of %d argmaxes differ; llama.cpp: %.4f, %+.4f, %d",
				-average(want.logProbs), mean, nll, flips, len(ids)-1, peerMean, peerNLL, peerFlips)
			if !(mean <= q.mean) || !(math.Abs(nll) <= q.nll) || flips > q.flips {
				t.Errorf("fast mode is outside its band: mean %.3g, NLL %.3g, %d argmaxes", q.mean, q.nll, q.flips)
			}
			if !(peerMean <= 2*q.mean) || !(math.Abs(peerNLL) <= 2*q.nll) || peerFlips > 2*q.flips {
				t.Errorf("llama.cpp is outside twice the band of fast mode")
			}
		})
	}
}

// forced are the log-probabilities of a text's tokens but the first, and the most
// likely token at each place.
type forced struct {
	logProbs []float64
	argmax   []int32
}

func tokenLogProbs(t *testing.T, b engine.Backend, ids []int32, kv, vocab int) (f forced) {
	t.Helper()
	logits := step(t, b, engine.Row{Tokens: ids, Blocks: blocks(0, kv), LastN: len(ids)})[0]
	for i, id := range ids[1:] {
		row := logits[i*vocab:][:vocab]
		f.logProbs, f.argmax = append(f.logProbs, logProb(row, id)), append(f.argmax, argmax(row))
	}
	return f
}

// far compares: the mean difference of log-probabilities, of the mean NLL, and
// the number of other argmaxes.
func (f forced) far(g forced) (mean, nll float64, flips int) {
	for i, p := range f.logProbs {
		mean += math.Abs(p-g.logProbs[i]) / float64(len(f.logProbs))
		if f.argmax[i] != g.argmax[i] {
			flips++
		}
	}
	return mean, average(f.logProbs) - average(g.logProbs), flips
}

func average(x []float64) (mean float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	return mean
}
