package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llama-go/llama-go/simd/pure"
)

// randomMatrix makes a matrix of finite numbers, shift bytes from where memory
// is aligned.
func randomMatrix(t testing.TB, r *rand.Rand, typ Type, rows, cols, shift int) Matrix {
	t.Helper()
	if typ.own() {
		return randomOwn(t, r, typ, rows, cols, shift)
	}
	data := make([]byte, shift+rows*typ.RowBytes(cols))[shift:]
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for i := 0; i < len(data); i += typeInfo[typ].bytes {
		v := float32(r.NormFloat64())
		switch typ {
		case F32:
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(v))
		case BF16:
			binary.LittleEndian.PutUint16(data[i:], uint16(math.Float32bits(v)>>16))
		default: // an f16, or a block's scale and its minimum
			for _, at := range halvesOf(typ) {
				data[i+at+1] = data[i+at+1]&0x83 | 0x28
			}
		}
	}
	m, err := NewMatrix(typ, rows, cols, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// randomOwn is a matrix of quantized standard normal values.
func randomOwn(t testing.TB, r *rand.Rand, typ Type, rows, cols, shift int) Matrix {
	t.Helper()
	x, rb := make([]float32, roundUp(cols, pure.OwnBlock)), typ.RowBytes(cols)
	data := make([]byte, shift+rows*rb)[shift:]
	for i := range rows {
		clear(x)
		for k := range cols {
			x[k] = float32(r.NormFloat64())
		}
		pure.Hadamard(x)
		if !quantizeRow(typ, data[i*rb:][:rb], x) {
			t.Fatal("finite weights refused")
		}
	}
	m, err := NewMatrix(typ, rows, cols, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// halvesOf are the places of the binary16 numbers in a block.
func halvesOf(typ Type) []int {
	switch typ {
	case Q4_1, Q5_1, Q4_K, Q5_K:
		return []int{0, 2}
	case Q6_K:
		return []int{208}
	default:
		return []int{0}
	}
}

// randomRows are n rows of standard normal values in the forms that ms want.
func randomRows(r *rand.Rand, cols, n int, ms ...*Matrix) Rows {
	x := NewRows(cols)
	for _, m := range ms {
		x.Want(m)
	}
	x.Grow(n)
	for t := range n {
		for i := range x.Row(t) {
			x.Row(t)[i] = float32(r.NormFloat64())
		}
		x.Convert(t, 0, cols)
	}
	return x
}

// packed is the twin of m in panels.
func packed(t testing.TB, p *Plan, m *Matrix) Matrix {
	t.Helper()
	mem, err := NewMemory(m.PanelBytes())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mem.Free)
	twin := p.Panels(m, mem.Bytes)
	twin.PackPanels(m, 0, twin.Panels())
	return twin
}

// Every element is the dot product of its two rows, with the same bits for any
// number of activation rows, any split of the weight rows, any scratch and any
// alignment; nothing else is written.
func TestMulRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for typ := range numTypes {
		for _, shift := range []int{0, 1, 2} {
			t.Run(fmt.Sprintf("%v+%d", typ, shift), func(t *testing.T) {
				const rows, most = 13, 9
				cols := max(96, 2*typeInfo[typ].block)
				if typeInfo[typ].block == 1 {
					cols = 61
				}
				m := randomMatrix(t, r, typ, rows, cols, shift)
				x := randomRows(r, cols, most, &m)
				w, operand := make([]float32, m.width()), &x
				if typ.own() {
					operand = x.turned
				}
				for n := 1; n <= most; n++ {
					for _, scratch := range []int{m.width(), 3 * m.width(), m.Scratch()} {
						lo := r.IntN(rows)
						hi := lo + 1 + r.IntN(rows-lo)
						const stride = rows + 2
						dst := make([]float32, n*stride)
						for i := range dst {
							dst[i] = -7
						}
						m.MulRows(dst, stride, lo, hi, &x, n, make([]float32, scratch))
						for i, got := range dst {
							want := float32(-7)
							if row := i % stride; row >= lo && row < hi {
								active.rows[typ].decode(w, m.row(row))
								want = active.dot(w, operand.Row(i/stride))
							}
							if math.Float32bits(got) != math.Float32bits(want) {
								t.Fatalf("n %d, rows %d to %d: element %d is %v, want %v", n, lo, hi, i, got, want)
							}
						}
					}
				}
			})
		}
	}
}

func TestDotRows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 8, 24, 64} {
		for rows := range 70 {
			q, k := make([]float32, n), make([]float32, rows*n)
			for i := range q {
				q[i] = float32(r.NormFloat64())
			}
			for i := range k {
				k[i] = float32(r.NormFloat64())
			}
			dst := make([]float32, rows)
			DotRows(dst, q, k)
			for i, got := range dst {
				if want := active.dot(q, k[i*n:][:n]); math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("%d rows of %d: row %d is %v, want %v", rows, n, i, got, want)
				}
			}
		}
	}
}

func TestNewMatrixRefuses(t *testing.T) {
	for _, c := range []struct {
		name       string
		typ        Type
		rows, cols int
		bytes      int
		want       string
	}{
		{"short", F32, 2, 3, 23, "not 23 bytes"},
		{"long", F32, 2, 3, 25, "not 25 bytes"},
		{"a row too many", F16, 2, 3, 18, "not 18 bytes"},
		{"half a block", Q8_0, 1, 48, 51, "a multiple of 32"},
		{"no rows", F32, 0, 3, 0, "rows must be positive"},
		{"negative", F32, -1, 3, 12, "rows must be positive"},
		{"unknown type", numTypes, 1, 1, 4, "no kernels"},
		{"overflow", F32, math.MaxInt / 2, 4, 16, "not 16 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewMatrix(c.typ, c.rows, c.cols, make([]byte, c.bytes))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func BenchmarkMulRows(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	const rows, cols, most = 2048, 2048, 512
	dst := make([]float32, most*(rows+16))
	for _, fast := range []bool{false, true} {
		plan := NewPlan(fast)
		for typ := range numTypes {
			m := randomMatrix(b, r, typ, rows, cols, 0)
			what := "dots"
			if plan.Packs(typ) {
				m, what = packed(b, plan, &m), plan.kernels[typ].what
			} else if fast {
				continue
			}
			x := randomRows(r, cols, most, &m)
			scratch := make([]float32, m.Scratch())
			for _, n := range []int{1, 4, 16, 64, 512} {
				b.Run(fmt.Sprintf("fast=%v/%v/n=%d", fast, typ, n), func(b *testing.B) {
					for b.Loop() {
						for lo := 0; lo < rows; lo += 32 {
							m.MulRows(dst, rows+16, lo, lo+32, &x, n, scratch)
						}
					}
					seconds := b.Elapsed().Seconds() / float64(b.N)
					b.ReportMetric(2*rows*cols*float64(n)/seconds/1e9, "Gop/s")
					b.ReportMetric(float64(m.Bytes())/seconds/1e9, "GB/s")
					b.Log(what)
				})
			}
		}
	}
}
