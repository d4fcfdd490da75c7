package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/x448/float16"

	"github.com/llama-go/llama-go/internal/checked"
	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/weights"
)

// lazySource is a Source that takes memory only when its tensors are asked for.
// OpenSource counts WeightBytes, what they take beyond what is in memory
// already, and has them made where it can be cancelled. KeptType is the type of a
// tensor that stays in memory beside a backend's copy of it, 0 of one that does not.
type lazySource interface {
	WeightBytes() int64
	KeptType(name string) weights.DType
	Materialize(ctx context.Context, progress func(done, total int64)) error
}

// RandomSource is the Source of a model without a file, in Hugging Face's
// order of Q and K rows: norms are 1, all else is N(0, 0.02), rounded to dtype,
// one that RandomType knows. A value depends on the seed, the
// tensor's name and its index alone. A tensor is made when it is asked for first.
//
// A value is the quantile of one of 65,536 equally likely steps, so the tails end
// at 4.3 standard deviations. Matrices of a block type are made of 4,096 different
// blocks, for measuring speed, and norms are then F32; rows must be whole blocks.
func RandomSource(cfg weights.Config, dtype weights.DType, seed uint64) weights.Source {
	r := &randomSource{seed: seed, tensors: map[string]*randomTensor{}}
	for _, t := range weights.TensorShapes(cfg) {
		d := dtype
		if len(t.Shape) == 1 && d.BlockSize() > 1 {
			d = weights.F32
		}
		r.names = append(r.names, t.Name)
		r.tensors[t.Name] = &randomTensor{shape: t.Shape, dtype: d}
	}
	return r
}

var (
	_ weights.Source = (*randomSource)(nil)
	_ lazySource     = (*randomSource)(nil)
)

type randomSource struct {
	seed  uint64
	names []string

	mu      sync.Mutex
	tensors map[string]*randomTensor
	freed   int64 // released bytes that the system does not have back yet
}

type randomTensor struct {
	shape    []int
	dtype    weights.DType
	data     []byte // nil until made
	released bool   // made anew for whoever asks, and not kept
}

// bytes is the stored size.
func (t *randomTensor) bytes() int {
	dims := make([]int64, len(t.shape))
	for i, d := range t.shape {
		dims[i] = int64(d)
	}
	last := len(dims) - 1
	if dims[last]%int64(t.dtype.BlockSize()) != 0 {
		panic(fmt.Sprintf("engine: random tensor of shape %v: rows are no whole blocks of %v", t.shape, t.dtype))
	}
	dims[last] = dims[last] / int64(t.dtype.BlockSize()) * int64(t.dtype.BlockBytes())
	n, ok := checked.Product(dims...).Int()
	if !ok {
		panic(fmt.Sprintf("engine: random tensor of shape %v is too large", t.shape))
	}
	return n
}

// Names lists the canonical names.
func (r *randomSource) Names() []string { return slices.Clone(r.names) }

// QKOrder is Halves.
func (r *randomSource) QKOrder() weights.QKOrder { return weights.Halves }

// RopeFactors is nil: the config says it all.
func (r *randomSource) RopeFactors() []float32 { return nil }

// Close lets go of the tensors.
func (r *randomSource) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tensors {
		t.data = nil
	}
	return nil
}

// WeightBytes is what the tensors take that are not made yet.
func (r *randomSource) WeightBytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for _, t := range r.tensors {
		if t.data == nil {
			n += int64(t.bytes())
		}
	}
	return n
}

// KeptType is 0: Release lets go of a tensor when there is a copy of it.
func (r *randomSource) KeptType(string) weights.DType { return 0 }

// Tensor returns a tensor, which it makes if need be.
func (r *randomSource) Tensor(name string) (weights.View, bool) {
	v, err := r.make(context.Background(), name, false, func(int64) {})
	return v, err == nil && v.Data != nil
}

// freeStep is how many released bytes go back to the system together.
const freeStep = 512 << 20

// Release says that data, a tensor of this source, will not be read soon: a
// backend has its own copy. The memory goes back to the system; Tensor makes
// the same values again.
func (r *randomSource) Release(data []byte) {
	if len(data) == 0 {
		return
	}
	r.mu.Lock()
	for _, t := range r.tensors {
		if len(t.data) > 0 && &t.data[0] == &data[0] {
			t.data, t.released = nil, true
			r.freed += int64(len(data))
			break
		}
	}
	free := r.freed >= freeStep
	if free {
		r.freed = 0
	}
	r.mu.Unlock()
	if free {
		debug.FreeOSMemory()
	}
}

// Materialize makes the tensors that are not there yet, on all cores. When ctx ends it stops within
// milliseconds and keeps the tensors that are whole.
func (r *randomSource) Materialize(ctx context.Context, progress func(done, total int64)) error {
	total := r.WeightBytes()
	var done int64
	for _, name := range r.missing() {
		v, err := r.make(ctx, name, true, func(part int64) {
			if progress != nil {
				progress(done+part, total)
			}
		})
		if err != nil {
			return err
		}
		done += int64(len(v.Data))
		if progress != nil {
			progress(done, total)
		}
	}
	return nil
}

// missing lists the tensors that are not made yet.
func (r *randomSource) missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.names), func(name string) bool { return r.tensors[name].data != nil })
}

// make returns a tensor and keeps it, unless it was released and keep is false.
func (r *randomSource) make(ctx context.Context, name string, keep bool, progress func(part int64)) (weights.View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tensors[name]
	if t == nil {
		return weights.View{}, nil
	}
	data := t.data
	if data == nil {
		data = make([]byte, t.bytes())
		if err := r.fill(ctx, data, name, t.dtype, progress); err != nil {
			return weights.View{}, err
		}
		if keep || !t.released {
			t.data = data
		}
	}
	return weights.View{Name: name, DType: t.dtype, Shape: t.shape, Data: data}, nil
}

// fillStep is how many elements or blocks are made between two looks at the context. It is a
// multiple of the four that one random word gives.
const fillStep = 1 << 20

// fill makes the elements of one tensor.
func (r *randomSource) fill(ctx context.Context, data []byte, name string, d weights.DType, progress func(part int64)) error {
	h := fnv.New64a()
	h.Write([]byte(name))
	key := splitmix64(r.seed ^ h.Sum64())
	width := d.BlockBytes()
	steps := (len(data)/width + fillStep - 1) / fillStep
	put := filler(d, strings.HasSuffix(name, "norm.weight"), key)

	var next, made atomic.Int64
	work := func() error {
		for ctx.Err() == nil {
			step := int(next.Add(1)) - 1
			if step >= steps {
				return nil
			}
			part := data[step*fillStep*width : min(len(data), (step+1)*fillStep*width)]
			put(part, uint64(step)*fillStep)
			made.Add(int64(len(part)))
		}
		return ctx.Err()
	}
	errs := make(chan error)
	workers := min(steps, runtime.GOMAXPROCS(0))
	for range workers {
		go func() { errs <- safe.Call(work) }()
	}
	var first error
	for range workers {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
		progress(made.Load())
	}
	return first
}

// filler is what fills a part of a tensor, whose first element or block has the
// number first.
func filler(d weights.DType, norm bool, key uint64) func(part []byte, first uint64) {
	width := d.BlockBytes()
	switch {
	case d.BlockSize() > 1:
		table := normalBlocks(d)
		return func(part []byte, first uint64) { putBlocks(part, table, width, key, first) }
	case norm:
		one := encoded(1, d)
		return func(part []byte, _ uint64) { putOnes(part, width, one) }
	default:
		table := normalTable(d)
		return func(part []byte, first uint64) { putNormal(part, width, table, key, first/4) }
	}
}

// putNormal fills part with values of width bytes, 2 or 4. word is the number of
// the first random word; each picks four values.
func putNormal(part []byte, width int, table *[1 << 16]uint32, key, word uint64) {
	for ; len(part) > 0; word++ {
		w := splitmix64(key + word*golden)
		a, b, c, d := table[uint16(w)], table[uint16(w>>16)], table[uint16(w>>32)], table[uint16(w>>48)]
		var four [16]byte
		if width == 2 {
			binary.LittleEndian.PutUint64(four[:], uint64(a)|uint64(b)<<16|uint64(c)<<32|uint64(d)<<48)
		} else {
			binary.LittleEndian.PutUint64(four[:], uint64(a)|uint64(b)<<32)
			binary.LittleEndian.PutUint64(four[8:], uint64(c)|uint64(d)<<32)
		}
		part = part[copy(part, four[:4*width]):]
	}
}

// putOnes fills part with the bits of 1.
func putOnes(part []byte, width int, one uint32) {
	var bits [4]byte
	binary.LittleEndian.PutUint32(bits[:], one)
	for len(part) > 0 {
		part = part[copy(part, bits[:width]):]
	}
}

// normalTable holds the quantiles of N(0, 0.02) at (k + 1/2) / 65536, as bits of
// the type.
func normalTable(d weights.DType) *[1 << 16]uint32 {
	var table [1 << 16]uint32
	for k := range table {
		p := (float64(k) + 0.5) / (1 << 16)
		table[k] = encoded(float32(0.02*math.Sqrt2*math.Erfinv(2*p-1)), d)
	}
	return &table
}

// encoded rounds v to the type, to nearest even, and returns its bits.
func encoded(v float32, d weights.DType) uint32 {
	bits := math.Float32bits(v)
	switch d {
	case weights.F32:
		return bits
	case weights.F16:
		return uint32(float16.Fromfloat32(v).Bits())
	case weights.BF16:
		return (bits + 0x7fff + bits>>16&1) >> 16
	}
	panic(fmt.Sprintf("engine: random weights of type %v, want F32, F16 or BF16", d))
}
