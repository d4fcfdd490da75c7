package simd

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachPlan runs f for every mode and weight type that is multiplied from panels.
func eachPlan(t *testing.T, f func(t *testing.T, p *Plan, typ Type)) {
	for _, fast := range []bool{false, true} {
		p := NewPlan(fast)
		for typ := range numTypes {
			if !p.Packs(typ) {
				continue
			}
			t.Run(fmt.Sprintf("fast=%v/%v", fast, typ), func(t *testing.T) { f(t, p, typ) })
		}
	}
}

// cols is a width of about n that rows of the type may have, odd where it may
// be.
func (t Type) cols(n int) int {
	if typeInfo[t].block == 1 {
		return n/32*32 + 13
	}
	return roundUp(n, max(32, typeInfo[t].block))
}

// A row read back from its panel has the bits that the stored one decodes to.
func TestPanelRows(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	eachPlan(t, func(t *testing.T, p *Plan, typ Type) {
		for _, rows := range []int{1, 15, 16, 17, 40} {
			m := randomMatrix(t, r, typ, rows, typ.cols(96), 1)
			twin := packed(t, p, &m)
			got, want := make([]float32, m.Cols), make([]float32, m.Cols)
			for i := range rows {
				twin.Row(got, i)
				m.Row(want, i)
				for k := range want {
					if math.Float32bits(got[k]) != math.Float32bits(want[k]) {
						t.Fatalf("row %d of %d: element %d is %v, want %v", i, rows, k, got[k], want[k])
					}
				}
			}
		}
	})
}

// Products from panels are near the exact ones and have the same bits for any
// number of activation rows and any split of the weight rows; nothing else is
// written.
func TestMulPanels(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	eachPlan(t, func(t *testing.T, p *Plan, typ Type) {
		const most = 26
		for _, rows := range []int{5, 16, 43} {
			m := randomMatrix(t, r, typ, rows, typ.cols(160), 0)
			twin := packed(t, p, &m)
			x := randomRows(r, m.Cols, most, &twin)
			scratch := make([]float32, twin.Scratch())
			one := make([]float32, rows)
			all := make([][]float32, most)
			for i := range all {
				single := randomRows(r, m.Cols, 1, &twin)
				copy(single.Row(0), x.Row(i))
				single.Convert(0, 0, m.Cols)
				twin.MulRows(one, rows, 0, rows, &single, 1, scratch)
				all[i] = append(all[i], one...)
				checkNear(t, p, &m, one, x.Row(i))
			}
			for n := 1; n <= most; n++ {
				lo := r.IntN(rows) / PanelRows * PanelRows
				hi := min(rows, lo+(1+r.IntN(3))*PanelRows)
				stride := rows + 3
				dst := make([]float32, n*stride)
				for i := range dst {
					dst[i] = -7
				}
				twin.MulRows(dst, stride, lo, hi, &x, n, scratch)
				for i, got := range dst {
					want := float32(-7)
					if row := i % stride; row >= lo && row < hi {
						want = all[i/stride][row]
					}
					if math.Float32bits(got) != math.Float32bits(want) {
						t.Fatalf("%d of %d rows [%d, %d): element %d is %v, want %v", n, rows, lo, hi, i, got, want)
					}
				}
			}
		}
	})
}

// checkNear compares products with float64: within a few roundings in exact
// mode, within those of the activations in fast mode.
func checkNear(t *testing.T, p *Plan, m *Matrix, got, x []float32) {
	t.Helper()
	bound := 1e-6
	switch p.kernels[m.Type].form {
	case formFloat:
	case formBF16:
		bound = 1.0 / 256
	default:
		bound = 1.0 / 50 // half a step of 1/127 of a block's largest, against its mean size
	}
	w := make([]float32, m.Cols)
	for i := range got {
		m.Row(w, i)
		var sum, size float64
		for k := range x {
			v := float64(w[k]) * float64(x[k])
			sum, size = sum+v, size+math.Abs(v)
		}
		if d := math.Abs(float64(got[i]) - sum); !(d <= bound*size) {
			t.Fatalf("%v row %d: %v, want %v: off by %.2g of the products' size", m.Type, i, got[i], sum, d/size)
		}
	}
}

// Activations of which one row is no number touch no other row.
func TestMulPanelsKeepsNaNInItsRow(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	eachPlan(t, func(t *testing.T, p *Plan, typ Type) {
		const rows, n = 20, 5
		m := randomMatrix(t, r, typ, rows, typ.cols(64), 0)
		twin := packed(t, p, &m)
		x := randomRows(r, m.Cols, n, &twin)
		x.Row(2)[7] = float32(math.NaN())
		x.Convert(2, 0, m.Cols)
		dst := make([]float32, n*rows)
		twin.MulRows(dst, rows, 0, rows, &x, n, make([]float32, twin.Scratch()))
		for i, v := range dst {
			if (v != v) != (i/rows == 2) {
				t.Fatalf("row %d: %v", i/rows, v)
			}
		}
	})
}

// A block that was put in order for a panel and back has its bytes again.
func TestArrangeRestores(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for _, typ := range []Type{Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K} {
		size := typeInfo[typ].bytes
		stored, moved, back := make([]byte, size), make([]byte, size), make([]byte, size)
		for range 200 {
			for i := range stored {
				stored[i], moved[i], back[i] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
			}
			arrange(typ, moved, stored)
			restore(typ, back, moved)
			if !bytes.Equal(back, stored) {
				t.Fatalf("%v:\n% x came back as\n% x", typ, stored, back)
			}
		}
	}
}

func BenchmarkPackPanels(b *testing.B) {
	r := rand.New(rand.NewPCG(33, 34))
	plan := NewPlan(false)
	for typ := range numTypes {
		if !plan.Packs(typ) {
			continue
		}
		b.Run(typ.String(), func(b *testing.B) {
			m := randomMatrix(b, r, typ, 64, 2048, 0)
			twin := packed(b, plan, &m)
			b.SetBytes(int64(m.PanelBytes()))
			for b.Loop() {
				twin.PackPanels(&m, 0, twin.Panels())
			}
		})
	}
}
