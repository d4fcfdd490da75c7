package kernel

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// maxTopK bounds topk's k.
const maxTopK = 1024

// logits are the result of a forward pass that stays here until it is freed.
type logits struct {
	values []float32 // (bsz, kept, vocab)
	shape  [3]int
}

func (l *logits) bytes() int64 { return int64(len(l.values)) * 4 }

// readResult is result.read.
func (c *client) readResult(p rpc.ResultReadParams) ([]byte, error) {
	r, err := c.result(p.Result)
	if err != nil {
		return nil, err
	}
	n := int64(len(r.values))
	if p.Count < 1 || p.Count > rpc.MaxBuffer/4 {
		return nil, requestError("read it in pieces", "count is %d, expected 1 to %d elements", p.Count, rpc.MaxBuffer/4)
	}
	if p.Offset < 0 || p.Offset > n-p.Count {
		return nil, requestError("", "elements %d to %d are outside the result's %d", p.Offset, p.Offset+p.Count, n)
	}
	return floatBytes(r.values[p.Offset : p.Offset+p.Count]), nil
}

func floatBytes(v []float32) []byte {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return b
}

func intBytes(v []int32) []byte {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], uint32(x))
	}
	return b
}

// attach adds a buffer to the response and describes it.
type attach func(dtype string, shape []int, data []byte) rpc.Tensor

// reduceResult is result.reduce.
func (c *client) reduceResult(p rpc.ReduceParams, add attach) (rpc.ReduceResult, error) {
	r, err := c.result(p.Result)
	if err != nil {
		return rpc.ReduceResult{}, err
	}
	vocab := r.shape[2]
	positions := int64(r.shape[0]) * int64(r.shape[1])
	if p.Count < 1 || p.Count > rpc.MaxBuffer/4 {
		return rpc.ReduceResult{}, requestError("", "count is %d, expected 1 to %d positions", p.Count, rpc.MaxBuffer/4)
	}
	if p.First < 0 || p.First > positions-p.Count {
		return rpc.ReduceResult{}, requestError("", "positions %d to %d are outside the result's %d", p.First, p.First+p.Count, positions)
	}
	n := int(p.Count)
	row := func(i int) []float32 {
		at := (int(p.First) + i) * vocab
		return r.values[at : at+vocab]
	}
	switch p.Op {
	case "argmax":
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = argmax(row(i))
		}
		return rpc.ReduceResult{Data: []rpc.Tensor{add("int32", []int{n}, intBytes(ids))}}, nil
	case "topk":
		k := p.K
		if k < 1 || k > min(maxTopK, vocab) || p.Count > rpc.MaxBuffer/4/int64(k) {
			return rpc.ReduceResult{}, requestError("", "k is %d for %d positions, expected 1 to %d and at most %d values together", k, n, min(maxTopK, vocab), rpc.MaxBuffer/4)
		}
		values, ids := make([]float32, 0, n*k), make([]int32, 0, n*k)
		for i := range n {
			values, ids = topK(row(i), k, values, ids)
		}
		return rpc.ReduceResult{Data: []rpc.Tensor{
			add("float32", []int{n, k}, floatBytes(values)), add("int32", []int{n, k}, intBytes(ids)),
		}}, nil
	case "log_softmax_of":
		if len(p.IDs) != n {
			return rpc.ReduceResult{}, requestError("pass one id a position", "%d ids for %d positions", len(p.IDs), n)
		}
		values := make([]float32, n)
		for i, id := range p.IDs {
			if id < 0 || int(id) >= vocab {
				return rpc.ReduceResult{}, kindError(rpc.KindTokenIndex, "", "id %d at position %d is outside the vocabulary of %d", id, i, vocab)
			}
			values[i] = logSoftmaxOf(row(i), id)
		}
		return rpc.ReduceResult{Data: []rpc.Tensor{add("float32", []int{n}, floatBytes(values))}}, nil
	}
	return rpc.ReduceResult{}, requestError("", `op is %.40q, expected "argmax", "topk" or "log_softmax_of"`, p.Op)
}

// argmax is the lowest index of the largest value.
func argmax(row []float32) int32 {
	best := 0
	for i, x := range row {
		if x > row[best] {
			best = i
		}
	}
	return int32(best)
}

// topK appends the k largest values, largest first, and their indices; equal
// values come in order of index.
func topK(row []float32, k int, values []float32, ids []int32) ([]float32, []int32) {
	from := len(values)
	for i, x := range row {
		have := len(values) - from
		if have == k && !(x > values[len(values)-1]) {
			continue
		}
		at, _ := slices.BinarySearchFunc(values[from:], x, func(v, x float32) int {
			if v >= x { // an equal value that came earlier stays ahead
				return -1
			}
			return 1
		})
		if have == k {
			values, ids = values[:len(values)-1], ids[:len(ids)-1]
		}
		values = slices.Insert(values, from+at, x)
		ids = slices.Insert(ids, from+at, int32(i))
	}
	return values, ids
}

// logSoftmaxOf is row[id] - log(Σ exp(row)), summed in float64.
func logSoftmaxOf(row []float32, id int32) float32 {
	peak := float64(row[argmax(row)])
	sum := 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - peak)
	}
	return float32(float64(row[id]) - peak - math.Log(sum))
}

// freeResult is result.free.
func (c *client) freeResult(p rpc.ResultRef) error {
	r, err := c.result(p.Result)
	if err != nil {
		return err
	}
	c.mu.Lock()
	_, ok := c.results[p.Result]
	delete(c.results, p.Result)
	c.mu.Unlock()
	if ok {
		c.svc.resultBytes.Add(-r.bytes())
		giveBack(r.bytes())
	}
	return nil
}
