package simd

import "github.com/llama-go/llama-go/simd/pure"

// Type is the stored type of a weight matrix.
type Type uint8

// The types that have kernels. Block layouts are ggml's, but those of I8 and I4,
// which are made here (quantize.go); see package pure.
const (
	F32 Type = iota
	F16
	BF16
	Q8_0
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q4_K
	Q5_K
	Q6_K
	I8
	I4
	numTypes
)

var typeInfo = [numTypes]struct {
	name         string
	block, bytes int
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2},
	Q8_0: {"Q8_0", 32, 34}, Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20},
	Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210},
	I8: {"I8", 1, 0}, I4: {"I4", 1, 0}, // see RowBytes
}

func (t Type) String() string { return typeInfo[t].name }

// own tells whether t is one of the formats that are made here: of turned weights,
// in rows of any length, which are padded.
func (t Type) own() bool { return t == I8 || t == I4 }

// Types lists all types.
func Types() []Type {
	all := make([]Type, numTypes)
	for t := range numTypes {
		all[t] = t
	}
	return all
}

// RowBytes is the size of a row of n elements; n is a multiple of the type's
// block, but for I8 and I4.
func (t Type) RowBytes(n int) int {
	switch t {
	case I8:
		return pure.I8Bytes(roundUp(n, pure.OwnBlock))
	case I4:
		return pure.I4Bytes(roundUp(n, pure.OwnBlock))
	}
	return n / typeInfo[t].block * typeInfo[t].bytes
}

// A unit is a set of kernels with one order for each sum. Every function is
// described in package pure, under the name in the comment.
type unit struct {
	name string
	why  string // not a better one

	dot             func(w, x []float32) float32                       // Dot
	dot2            func(w, x0, x1 []float32) (y0, y1 float32)         // Dot2
	dot3            func(w, x0, x1, x2 []float32) (y0, y1, y2 float32) // Dot3
	add             func(dst, x []float32)                             // Add
	rmsNorm         func(dst, x, w []float32, eps float64)             // RMSNorm
	softmax         func(x []float32, scale float32)                   // Softmax, of x·scale
	siluMul         func(dst, gate, up []float32)                      // SiLUMul
	weightedSum     func(dst, p, v []float32)                          // WeightedSum
	ropeHalves      func(x, cos, sin []float32)                        // RopeHalves
	ropeInterleaved func(x, cos, sin []float32)                        // RopeInterleaved
	rows            [numTypes]rowKernels

	turn     func(dst, src []float32)                               // Hadamard of a copy; whole blocks
	sumFit   func(fit *pure.Fit, w []float32, d, m, factor float32) // SumFit
	plan     func(fast bool) *Plan                                  // nil: all products are dots
	convert  converters                                             // what Rows.Convert calls
	toF16    func(dst []uint16, src []float32)                      // rounds, for attention
	prefetch func(p []byte)                                         // asks for what attention reads next
	read     func(p []byte)                                         // loads and forgets; nil: readWords
}

// rowKernels read one stored row of a weight type. dotRow(w, x) has the bits of
// dot(decode(w), x).
type rowKernels struct {
	decode func(dst []float32, src []byte)
	dotRow func(w []byte, x []float32) float32
}

var pureUnit = unit{
	name: "pure Go",
	dot:  pure.Dot, dot2: pure.Dot2, dot3: pure.Dot3,
	add: pure.Add, rmsNorm: pure.RMSNorm, softmax: softmaxScaled, siluMul: pure.SiLUMul,
	weightedSum: pure.WeightedSum, ropeHalves: pure.RopeHalves, ropeInterleaved: pure.RopeInterleaved,
	turn: turnCopy, sumFit: pure.SumFit,
	rows: [numTypes]rowKernels{
		F32:  {pure.DecodeF32, pure.DotF32},
		F16:  {pure.DecodeF16, pure.DotF16},
		BF16: {pure.DecodeBF16, pure.DotBF16},
		Q8_0: {pure.DecodeQ8_0, pure.DotQ8_0},
		Q4_0: {pure.DecodeQ4_0, pure.DotQ4_0},
		Q4_1: {pure.DecodeQ4_1, pure.DotQ4_1},
		Q5_0: {pure.DecodeQ5_0, pure.DotQ5_0},
		Q5_1: {pure.DecodeQ5_1, pure.DotQ5_1},
		Q4_K: {pure.DecodeQ4_K, pure.DotQ4_K},
		Q5_K: {pure.DecodeQ5_K, pure.DotQ5_K},
		Q6_K: {pure.DecodeQ6_K, pure.DotQ6_K},
		I8:   {pure.DecodeI8, pure.DotI8},
		I4:   {pure.DecodeI4, pure.DotI4},
	},
}

// pureFor is the pure unit, chosen for the given reason.
func pureFor(why string) *unit {
	u := pureUnit
	u.why = why
	return &u
}

// turnCopy is pure.Hadamard of a copy.
func turnCopy(dst, src []float32) {
	copy(dst, src)
	pure.Hadamard(dst[:len(src)])
}

// softmaxScaled is pure.Softmax of x·scale.
func softmaxScaled(x []float32, scale float32) {
	for i := range x {
		x[i] *= scale
	}
	pure.Softmax(x)
}

// active is the unit of this process, chosen by the features that detect finds
// and DisableEnv leaves.
var active = chooseUnit(usable())

// Add is the active unit's Add, like those below; package pure describes what they
// compute and the unit's own package in which order.
func Add(dst, x []float32) { active.add(dst, x) }

// RMSNorm is pure.RMSNorm or its twin.
func RMSNorm(dst, x, w []float32, eps float64) { active.rmsNorm(dst, x, w, eps) }

// SiLUMul is pure.SiLUMul or its twin.
func SiLUMul(dst, gate, up []float32) { active.siluMul(dst, gate, up) }

// RopeHalves is pure.RopeHalves or its twin.
func RopeHalves(x, cos, sin []float32) { active.ropeHalves(x, cos, sin) }

// RopeInterleaved is pure.RopeInterleaved or its twin.
func RopeInterleaved(x, cos, sin []float32) { active.ropeInterleaved(x, cos, sin) }

// Decode widens one stored row, or any whole blocks, to float32; of I8 and I4,
// whole rows to turned weights.
func Decode(t Type, dst []float32, src []byte) { active.rows[t].decode(dst, src) }

// DotRows is
//
//	for t := range dst {
//		dst[t] = Dot(q, k[t*len(q):][:len(q)])
//	}
func DotRows(dst, q, k []float32) { // dst: (t,), q: (n,), k: (t, n)
	n := len(q)
	for len(dst) >= 3 {
		dst[0], dst[1], dst[2] = active.dot3(q, k[:n], k[n:][:n], k[2*n:][:n])
		dst, k = dst[3:], k[3*n:]
	}
	for i := range dst {
		dst[i] = active.dot(q, k[i*n:][:n])
	}
}
