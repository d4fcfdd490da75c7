//go:build amd64 && !purego

package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestChooseUnit(t *testing.T) {
	all := features{featAVX2, featAVX512, featVNNI, featAVX5BF16, featAMX}
	for _, c := range []struct{ disable, want string }{
		{"", "AVX-512 unit;"},
		{"vnni,bf16,amx", "AVX-512 unit;"},
		{"avx512", "AVX2 unit (no AVX-512);"},
		{"avx2", "pure Go unit (no AVX2 with FMA and F16C);"},
		{"all", "pure Go unit (no AVX2 with FMA and F16C);"},
	} {
		if got := describe("CPU", all, c.disable); !strings.HasPrefix(got, "CPU (amd64): "+c.want) {
			t.Errorf("without %q: %q, want the %s", c.disable, got, c.want)
		}
	}
}

// bothUnits runs f as the AVX2 unit and as the AVX-512 unit, where there are
// both, and compares what f returns, bit for bit.
func bothUnits(t *testing.T, what string, f func() []float32) {
	t.Helper()
	has := usable()
	if !has.has(featAVX512) || !has.has(featVNNI) {
		t.Skip("not both units")
	}
	defer func(u *unit) { active = u }(active)
	active = chooseUnit(features{featAVX2})
	narrow := f()
	active = chooseUnit(features{featAVX2, featAVX512, featVNNI})
	wide := f()
	if len(narrow) != len(wide) {
		t.Fatalf("%s: %d and %d results", what, len(narrow), len(wide))
	}
	for i := range wide {
		if math.Float32bits(narrow[i]) != math.Float32bits(wide[i]) {
			t.Fatalf("%s: result %d is %v by AVX2 and %v by AVX-512", what, i, narrow[i], wide[i])
		}
	}
}

// Products of every type that both units have tiles of.
func TestUnitsAgreeOnProducts(t *testing.T) {
	for typ := range numTypes {
		for _, fast := range []bool{false, true} {
			t.Run(fmt.Sprintf("fast=%v/%v", fast, typ), func(t *testing.T) {
				for seed := range uint64(40) {
					r := rand.New(rand.NewPCG(seed, 41))
					rows, cols, n := 1+r.IntN(70), typ.cols(32+r.IntN(800)), 1+r.IntN(40)
					m := randomMatrix(t, r, typ, rows, cols, 0)
					bothUnits(t, fmt.Sprintf("%d × %d, %d rows", rows, cols, n), func() []float32 {
						p := NewPlan(fast)
						if !p.Packs(typ) {
							t.Skip("stored rows")
						}
						twin := packed(t, p, &m)
						x := randomRows(rand.New(rand.NewPCG(seed, 42)), cols, n, &twin)
						dst := make([]float32, n*rows)
						twin.MulRows(dst, rows, 0, rows, &x, n, make([]float32, twin.Scratch()))
						return dst
					})
				}
			})
		}
	}
}

func TestUnitsAgreeOnRows(t *testing.T) {
	for n := 1; n <= 200; n++ {
		bothUnits(t, fmt.Sprint(n), func() []float32 {
			r := rand.New(rand.NewPCG(uint64(n), 43))
			random := func(n int, scale float64) []float32 {
				x := make([]float32, n)
				for i := range x {
					x[i] = float32(r.NormFloat64() * scale)
				}
				return x
			}
			var all []float32
			x, y := random(n, 1), random(n, 1)
			Add(x, y)
			all = append(all, x...)
			RMSNorm(x, x, y, 1e-5)
			all = append(all, x...)
			SiLUMul(x, random(n, 30), y)
			all = append(all, x...)
			active.softmax(y, 11)
			all = append(all, y...)
			halves, pairs := random(2*n, 1), random(2*n, 1)
			RopeHalves(halves, x, y)
			RopeInterleaved(pairs, x, y)
			all = append(append(all, halves...), pairs...)
			h := make([]uint16, n)
			active.toF16(h, x)
			for _, v := range h {
				all = append(all, float32(v))
			}
			return all
		})
	}
}

func TestUnitsAgreeOnAttention(t *testing.T) {
	const dim, group, block, positions = 40, 3, 32, 150
	for _, fast := range []bool{false, true} {
		bothUnits(t, fmt.Sprintf("fast=%v", fast), func() []float32 {
			r := rand.New(rand.NewPCG(44, 45))
			a := NewPlan(fast).NewAttention(dim, block)
			var s AttendScratch
			var all []float32
			q := make([]float32, group*a.QStride())
			k, v := make([]float32, dim), make([]float32, dim)
			for p := range positions {
				if p%block == 0 {
					s.Blocks = append(s.Blocks, make([]byte, a.HeadBytes()))
				}
				for i := range dim {
					k[i], v[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
					for h := range group {
						q[h*a.QStride()+i] = float32(r.NormFloat64())
					}
				}
				a.Store(s.Blocks[p/block], p%block, k, v)
				dst := make([]float32, group*dim)
				a.Attend(dst, group*dim, q, group, p, 1, &s)
				all = append(all, dst...)
			}
			return all
		})
	}
}
