package cpu

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/llama-go/llama-go/weights"
)

// Frequencies of real configs against transformers, which has them in float32.
func TestRopeFrequencies(t *testing.T) {
	b, err := os.ReadFile("testdata/rope.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]struct {
		Config  weights.Config `json:"config"`
		InvFreq []float64      `json:"inv_freq"`
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) < 5 {
		t.Fatalf("%d configs", len(golden))
	}
	for name, g := range golden {
		t.Run(name, func(t *testing.T) {
			r, err := newRopeTable(g.Config, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.invFreq) != len(g.InvFreq) {
				t.Fatalf("%d frequencies, want %d", len(r.invFreq), len(g.InvFreq))
			}
			for i, want := range g.InvFreq {
				if d := math.Abs(r.invFreq[i] - want); d > 2e-6*want {
					t.Errorf("frequency %d is %v, want %v", i, r.invFreq[i], want)
				}
			}
		})
	}
}

// A row of the table depends on its position alone, however the table grew.
func TestRopeTableGrows(t *testing.T) {
	cfg := weights.Config{HeadDim: 8, RopeTheta: 10000}
	one, err := newRopeTable(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := newRopeTable(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.grow(100)
	for n := range 101 {
		two.grow(n)
	}
	two.grow(3)
	for pos := range 100 {
		c1, s1 := one.at(pos)
		c2, s2 := two.at(pos)
		for i := range c1 {
			angle := float64(pos) * math.Pow(10000, -float64(i)/4)
			if c1[i] != c2[i] || s1[i] != s2[i] || c1[i] != float32(math.Cos(angle)) || s1[i] != float32(math.Sin(angle)) {
				t.Fatalf("position %d, pair %d: (%v, %v) and (%v, %v), angle %v", pos, i, c1[i], s1[i], c2[i], s2[i], angle)
			}
		}
	}
}
