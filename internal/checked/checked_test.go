package checked

import (
	"math"
	"testing"
)

func TestArithmetic(t *testing.T) {
	big := Of(math.MaxInt64)
	for _, tc := range []struct {
		name string
		got  Size
		want int64 // -1: invalid
	}{
		{"add", Of(2).Add(Of(3)), 5},
		{"add overflow", big.Add(Of(1)), -1},
		{"sub", Of(5).Sub(Of(3)), 2},
		{"sub below zero", Of(3).Sub(Of(5)), -1},
		{"mul", Of(6).Mul(Of(7)), 42},
		{"mul by zero", big.Mul(Of(0)), 0},
		{"mul overflow", Of(1 << 40).Mul(Of(1 << 40)), -1},
		{"mul that wraps to 4", Of(4194305).Mul(Of(4194305)).Mul(Of(211106198978564)), -1},
		{"div", Of(12).Div(Of(4)), 3},
		{"div with rest", Of(13).Div(Of(4)), -1},
		{"div by zero", Of(13).Div(Of(0)), -1},
		{"align", Of(33).AlignUp(Of(32)), 64},
		{"align exact", Of(64).AlignUp(Of(32)), 64},
		{"align zero", Of(64).AlignUp(Of(0)), -1},
		{"align overflow", big.AlignUp(Of(32)), -1},
		{"negative", Of(-1), -1},
		{"unsigned", OfU(math.MaxUint64), -1},
		{"invalid stays", Of(-1).Add(Of(1)), -1},
		{"product", Product(2, 3, 4), 24},
		{"empty product", Product(), 1},
		{"product overflow", Product(1<<32, 1<<31), -1},
		{"product with negative", Product(2, -1), -1},
	} {
		n, ok := tc.got.Int64()
		if ok != (tc.want >= 0) || (ok && n != tc.want) {
			t.Errorf("%s: got %d, %v, want %d", tc.name, n, ok, tc.want)
		}
	}
	if !Of(1).LE(Of(1)) || Of(2).LE(Of(1)) || Of(-1).LE(Of(1)) {
		t.Error("LE")
	}
}
