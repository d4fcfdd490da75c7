package simd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llama-go/llama-go/simd/pure"
)

// floatMatrix is rows × cols standard normal values, stored as t.
func floatMatrix(t testing.TB, r *rand.Rand, typ Type, rows, cols int) Matrix {
	t.Helper()
	var data []byte
	for range rows * cols {
		v := float32(r.NormFloat64())
		switch typ {
		case F32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		case BF16:
			data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(v)>>16))
		case F16:
			data = binary.LittleEndian.AppendUint16(data, 0x2c00|uint16(r.Uint32())&0x83ff)
		}
	}
	m, err := NewMatrix(typ, rows, cols, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Rows read back near what they were, from any type of floats and for any columns,
// and a quantized matrix has the same weights in panels and as rows, by this unit's
// kernels and by pure Go.
func TestQuantize(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for _, typ := range []Type{I8, I4} {
		for _, from := range []Type{F32, F16, BF16} {
			for _, cols := range []int{1, 13, 64, 96, 128, 200, 300, 576} {
				const rows = 37
				m := floatMatrix(t, r, from, rows, cols)
				shape, scratch := m.As(typ), make([]float32, QuantizeScratch(cols))
				stored := shape.Stored(make([]byte, shape.StoredBytes()))
				if err := stored.Quantize(&m, 0, stored.Panels(), scratch); err != nil {
					t.Fatal(err)
				}
				w, x, got := make([]float32, cols), make([]float32, roundUp(cols, pure.OwnBlock)), make([]float32, cols)
				for i := range rows {
					m.Row(w, i)
					clear(x)
					copy(x, w)
					pure.Hadamard(x)
					row := make([]byte, typ.RowBytes(cols))
					if typ == I8 {
						pure.QuantizeI8(row, x)
					} else {
						pure.QuantizeI4(row, x, pure.SumFit)
					}
					if string(row) != string(stored.row(i)) {
						t.Fatalf("%v of %v × %d: row %d differs from that of pure Go", typ, from, cols, i)
					}
					stored.Row(got, i)
					var square, size float64
					for k := range w {
						d := float64(got[k]) - float64(w[k])
						square, size = square+d*d, size+float64(w[k])*float64(w[k])
					}
					if bound := map[Type]float64{I8: 0.015, I4: 0.15}[typ]; math.Sqrt(square) > bound*math.Sqrt(size) {
						t.Fatalf("%v of %v × %d: row %d is off by %.2g of its size", typ, from, cols, i, math.Sqrt(square/size))
					}
				}
				for _, fast := range []bool{false, true} {
					p := NewPlan(fast)
					if !p.Packs(typ) {
						continue
					}
					twin := p.Panels(shape, make([]byte, shape.PanelBytes()))
					for lo := range twin.Panels() {
						if err := twin.Quantize(&m, lo, lo+1, scratch); err != nil {
							t.Fatal(err)
						}
					}
					again := make([]float32, cols)
					for i := range rows {
						stored.Row(got, i)
						twin.Row(again, i)
						for k := range got {
							if math.Float32bits(got[k]) != math.Float32bits(again[k]) {
								t.Fatalf("%v of %v × %d: element %d of row %d is %v in panels, %v as rows", typ, from, cols, k, i, again[k], got[k])
							}
						}
					}
				}
			}
		}
	}
}

// A row with a weight that is no finite number is refused, in whatever panel.
func TestQuantizeRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for _, typ := range []Type{I8, I4} {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), -math.MaxFloat32} {
			m := floatMatrix(t, r, F32, 40, 100)
			for i := range 8 { // of the largest, for sums that overflow
				binary.LittleEndian.PutUint32(m.data[4*(100*r.IntN(40)+i):], math.Float32bits(bad))
			}
			shape := m.As(typ)
			q := shape.Stored(make([]byte, shape.StoredBytes()))
			err := q.Quantize(&m, 0, q.Panels(), make([]float32, QuantizeScratch(100)))
			if bad != -math.MaxFloat32 && !errors.Is(err, ErrNotFinite) {
				t.Errorf("%v with %v: error %v", typ, bad, err)
			}
			if err == nil { // large weights alone in their block are weights
				w := make([]float32, 100)
				for i := range q.Rows {
					q.Row(w, i)
					for _, v := range w {
						if v != v {
							t.Errorf("%v with %v: reads back as no number", typ, bad)
						}
					}
				}
			}
		}
	}
}

func BenchmarkQuantize(b *testing.B) {
	r := rand.New(rand.NewPCG(35, 36))
	m := floatMatrix(b, r, BF16, 256, 2048)
	for _, typ := range []Type{I8, I4} {
		b.Run(fmt.Sprint(typ), func(b *testing.B) {
			p, q := NewPlan(true), m.As(typ)
			twin := q.Stored(make([]byte, q.StoredBytes()))
			if p.Packs(typ) {
				twin = p.Panels(q, make([]byte, q.PanelBytes()))
			}
			scratch := make([]float32, QuantizeScratch(m.Cols))
			for b.Loop() {
				if err := twin.Quantize(&m, 0, twin.Panels(), scratch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(m.Rows*m.Cols)/b.Elapsed().Seconds()/1e6, "Mweights/s")
		})
	}
}
