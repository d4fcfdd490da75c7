package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// slowNucleus is Meta's rule over a full sort, in float64: the kept ids in
// order, their masses and the sum.
func slowNucleus(x []float32, temperature, p float64) (ids []int, mass []float64, kept float64) {
	top := slices.Max(x)
	probs := make([]float64, len(x))
	var total float64
	for i, v := range x {
		probs[i] = math.Exp((float64(v) - float64(top)) / temperature)
		total += probs[i]
	}
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return x[order[a]] > x[order[b]] })
	for _, id := range order {
		if kept > p*total { // the mass before this token
			break
		}
		ids = append(ids, id)
		mass = append(mass, probs[id])
		kept += probs[id]
	}
	return ids, mass, kept
}

// logitShapes are distributions as models and adversaries make them.
func logitShapes(n int, rng *rand.Rand) map[string][]float32 {
	shapes := map[string][]float32{}
	add := func(name string, f func(i int) float64) {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(f(i))
		}
		shapes[name] = x
	}
	add("normal", func(int) float64 { return 3 * rng.NormFloat64() })
	add("flat", func(int) float64 { return 1 })
	add("ties", func(int) float64 { return float64(rng.IntN(5)) })
	add("peaked", func(i int) float64 { return 40*math.Pow(rng.Float64(), 8) - float64(i%3) })
	add("one", func(i int) float64 { return 100 * float64(1-min(i^(n/2), 1)) })
	add("wide", func(int) float64 { return 1e4 * rng.NormFloat64() })
	add("tiny", func(int) float64 { return 1e-6 * rng.NormFloat64() })
	add("ascending", func(i int) float64 { return float64(i) / 100 })
	add("huge", func(i int) float64 { return math.MaxFloat32 * float64(1-i%3) })
	return shapes
}

func TestNucleusEqualsFullSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var s sampler // one for all: scratch must not leak
	for _, n := range []int{1, 2, 7, 1000, 2003} {
		for name, x := range logitShapes(n, rng) {
			for _, temperature := range []float64{1e-310, 0.6, 1, 5, 1e300} {
				for _, p := range []float64{0, 1e-9, 0.1, 0.5, 0.9, 0.95, 0.999999, math.Nextafter(1, 0)} {
					_, maximum, _ := scan(x)
					total := s.softmax(x, maximum, temperature)
					kept := s.nucleus(x, maximum, temperature, p*total)
					ids, _, want := slowNucleus(x, temperature, p)
					if len(ids) != len(s.order) || kept != want {
						t.Fatalf("%s/%d t=%g p=%g: kept %d tokens of mass %g, want %d of %g", name, n, temperature, p, len(s.order), kept, len(ids), want)
					}
					for k, key := range s.order {
						if int(keyID(key)) != ids[k] {
							t.Fatalf("%s/%d t=%g p=%g: token %d is %d, want %d", name, n, temperature, p, k, keyID(key), ids[k])
						}
					}
				}
			}
		}
	}
}

func TestNucleusByHand(t *testing.T) {
	logits := func(p ...float64) []float32 {
		x := make([]float32, len(p))
		for i := range p {
			x[i] = float32(math.Log(p[i]))
		}
		return x
	}
	for _, tc := range []struct {
		name string
		x    []float32
		p    float64
		want []int32
	}{
		{"the crossing token stays", logits(0.125, 0.5, 0.375), 0.6, []int32{1, 2}},
		{"p=0 keeps one", logits(0.25, 0.5, 0.25), 0, []int32{1}},
		{"mass before equal to p stays", []float32{0, 0, 0, 0}, 0.5, []int32{0, 1, 2}},
		{"zeros of both signs tie", []float32{float32(math.Copysign(0, -1)), 0, 1}, 0.999, []int32{2, 0, 1}},
		{"ties by id", []float32{1, 2, 2, 1}, 0.999, []int32{1, 2, 0, 3}},
	} {
		var s sampler
		_, maximum, _ := scan(tc.x)
		s.nucleus(tc.x, maximum, 1, tc.p*s.softmax(tc.x, maximum, 1))
		var got []int32
		for _, key := range s.order {
			got = append(got, keyID(key))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// draw is sample with scan before it, as the loop calls it.
func draw(s *sampler, x []float32, temperature, p float64, seed uint64, pos int) int32 {
	best, maximum, _ := scan(x)
	return s.sample(x, best, maximum, temperature, p, seed, pos)
}

func TestGreedyTakesTheFirstMaximum(t *testing.T) {
	var s sampler
	if got := draw(&s, []float32{-3, 5, 2, 5}, 0, 0.9, 1, 1); got != 1 {
		t.Errorf("greedy: %d", got)
	}
	if got := draw(&s, []float32{-3, 5, 2, 5}, 1, 0, 1, 1); got != 1 {
		t.Errorf("top_p=0: %d", got)
	}
}

// TestDrawsFollowTheDistribution compares counts with expectations: Pearson's
// statistic of k cells stays below k + 5·√(2k) but for one case in about 10^5.
func TestDrawsFollowTheDistribution(t *testing.T) {
	x := make([]float32, 60)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	const draws = 60_000
	for _, tc := range []struct{ temperature, p float64 }{{1, 1}, {0.7, 0.9}, {2, 0.5}, {1, 7}} {
		for _, by := range []string{"seed", "position"} {
			t.Run(fmt.Sprintf("t=%v p=%v by %s", tc.temperature, tc.p, by), func(t *testing.T) {
				ids, mass, kept := slowNucleus(x, tc.temperature, tc.p)
				counts := make([]int, len(x))
				var s sampler
				for n := range draws {
					seed, pos := uint64(n), 17
					if by == "position" {
						seed, pos = 42, n
					}
					counts[draw(&s, x, tc.temperature, tc.p, seed, pos)]++
				}
				var chi float64
				seen := 0
				for k, id := range ids {
					want := draws * mass[k] / kept
					chi += (float64(counts[id]) - want) * (float64(counts[id]) - want) / want
					seen += counts[id]
				}
				if seen != draws {
					t.Errorf("%d draws fell outside the nucleus", draws-seen)
				}
				if k := float64(len(ids)); chi > k+5*math.Sqrt(2*k) {
					t.Errorf("chi² = %.0f over %.0f cells", chi, k)
				}
			})
		}
	}
}

func TestDrawsDependOnSeedAndPositionAlone(t *testing.T) {
	x := make([]float32, 1000)
	var a, b sampler
	differ := 0
	for pos := range 100 {
		one := draw(&a, x, 1, 1, 9, pos)
		draw(&b, x[:10], 1, 0.5, 1, 1) // another history
		if two := draw(&b, x, 1, 1, 9, pos); one != two {
			t.Fatalf("position %d: %d and %d", pos, one, two)
		}
		if one != draw(&a, x, 1, 1, 10, pos) {
			differ++
		}
	}
	if differ < 90 {
		t.Errorf("neighbouring seeds give the same token at %d of 100 positions", 100-differ)
	}
}

func TestDrawAtTheEdge(t *testing.T) {
	mass := []float64{0.5, 0.25, 0}
	if got := drawAll(mass, 0.75); got != 1 {
		t.Errorf("drawAll at the sum: %d", got)
	}
	if got := drawOrdered(mass, []uint64{rankKey(3, 0), rankKey(2, 1), rankKey(1, 2)}, 0.75); got != 1 {
		t.Errorf("drawOrdered at the sum: %d", got)
	}
}

func TestScan(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, tc := range []struct {
		x      []float32
		arg    int
		finite bool
	}{
		{[]float32{1}, 0, true},
		{[]float32{1, 3, 3, 2}, 1, true},
		{[]float32{-math.MaxFloat32, math.MaxFloat32, 0}, 1, true},
		{[]float32{-5, -4, 1e-45}, 2, true},
		{[]float32{1, nan, 2}, -1, false},
		{[]float32{nan, 1}, -1, false},
		{[]float32{1, 2, -inf}, -1, false},
		{[]float32{inf, 2}, -1, false},
	} {
		arg, maximum, finite := scan(tc.x)
		if finite != tc.finite || (finite && (arg != tc.arg || maximum != tc.x[arg])) {
			t.Errorf("scan(%v) = %d, %v, %v", tc.x, arg, maximum, finite)
		}
	}

	rng := rand.New(rand.NewPCG(9, 10))
	for n := 1; n < 40; n++ { // in fours and what is left
		for range 50 {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(rng.IntN(9) - 4)
			}
			first := slices.Index(x, slices.Max(x))
			if arg, maximum, finite := scan(x); arg != first || maximum != x[first] || !finite {
				t.Fatalf("scan(%v) = %d, %v, %v, want %d", x, arg, maximum, finite, first)
			}
			bad := []float32{nan, inf, -inf}[rng.IntN(3)]
			x[rng.IntN(n)] = bad
			if _, _, finite := scan(x); finite {
				t.Fatalf("scan(%v) takes %v for finite", x, bad)
			}
		}
	}
}

func TestLogProbs(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for name, x := range logitShapes(3001, rng) {
		if name == "huge" {
			continue // differences beyond float32
		}
		_, maximum, _ := scan(x)
		norm := logNormalizer(x, maximum)
		var sum float64
		for i := range x {
			sum += math.Exp(float64(logProb(x, int32(i), norm)))
		}
		if math.Abs(sum-1) > 1e-3 {
			t.Errorf("%s: probabilities sum to %v", name, sum)
		}
		order := make([]int, len(x))
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(a, b int) bool { return x[order[a]] > x[order[b]] })
		for _, k := range []int{1, 5, 20, 1024} {
			top := topLogProbs(x, k, norm)
			if len(top) != k {
				t.Fatalf("%s: %d of %d", name, len(top), k)
			}
			for i, e := range top {
				if int(e.ID) != order[i] || e.LogProb != logProb(x, e.ID, norm) {
					t.Fatalf("%s: top %d of %d is %+v, want id %d", name, i, k, e, order[i])
				}
			}
		}
	}
	if top := topLogProbs([]float32{1, 2}, 5, 0); len(top) != 2 {
		t.Errorf("top 5 of 2: %v", top)
	}
}

func BenchmarkSample(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{49152, 128256} {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(2.5 * rng.NormFloat64())
		}
		for _, tc := range []struct{ temperature, p float64 }{{0, 1}, {0.6, 0.9}, {1, 0.95}, {1, 1}} {
			b.Run(fmt.Sprintf("%d/t=%v/p=%v", n, tc.temperature, tc.p), func(b *testing.B) {
				var s sampler
				for i := range b.N {
					draw(&s, x, tc.temperature, tc.p, 1, i)
				}
			})
		}
	}
}
