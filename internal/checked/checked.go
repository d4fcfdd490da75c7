// Package checked does arithmetic on sizes that come from a file or a peer.
//
// A Size is opaque: the compiler refuses + and * on it, so every sum, product
// and alignment of an untrusted number goes through a method that says whether
// the result is still a size. A Size is never negative and fits an int64.
package checked

import "math"

// Size is a non-negative count of bytes or elements, or an invalid value that
// stays invalid through any arithmetic.
type Size struct {
	n  int64
	ok bool
}

// Of returns n as a Size; a negative n is invalid.
func Of(n int64) Size { return Size{n, n >= 0} }

// OfU returns n as a Size; an n above 2^63-1 is invalid.
func OfU(n uint64) Size {
	if n > math.MaxInt64 {
		return Size{}
	}
	return Size{int64(n), true}
}

// Add returns s + t, invalid when either is or the sum overflows.
func (s Size) Add(t Size) Size {
	if !s.ok || !t.ok || s.n > math.MaxInt64-t.n {
		return Size{}
	}
	return Size{s.n + t.n, true}
}

// Sub returns s - t, invalid when either is or t is larger than s.
func (s Size) Sub(t Size) Size {
	if !s.ok || !t.ok || t.n > s.n {
		return Size{}
	}
	return Size{s.n - t.n, true}
}

// Mul returns s * t, invalid when either is or the product overflows.
func (s Size) Mul(t Size) Size {
	if !s.ok || !t.ok || (t.n != 0 && s.n > math.MaxInt64/t.n) {
		return Size{}
	}
	return Size{s.n * t.n, true}
}

// Div returns s / t where t divides s, and is invalid otherwise.
func (s Size) Div(t Size) Size {
	if !s.ok || !t.ok || t.n == 0 || s.n%t.n != 0 {
		return Size{}
	}
	return Size{s.n / t.n, true}
}

// AlignUp returns s rounded up to a multiple of align, invalid when align is
// zero or the result overflows.
func (s Size) AlignUp(align Size) Size {
	if !s.ok || !align.ok || align.n == 0 {
		return Size{}
	}
	r := s.n % align.n
	if r == 0 {
		return s
	}
	return s.Add(Size{align.n - r, true})
}

// LE reports whether both are valid and s <= t.
func (s Size) LE(t Size) bool { return s.ok && t.ok && s.n <= t.n }

// Int64 returns the value and whether it is valid.
func (s Size) Int64() (int64, bool) { return s.n, s.ok }

// Int returns the value as an int and whether it is valid and fits.
func (s Size) Int() (int, bool) {
	n := int(s.n)
	return n, s.ok && int64(n) == s.n
}

// Product multiplies all dims, starting from 1.
func Product(dims ...int64) Size {
	p := Of(1)
	for _, d := range dims {
		p = p.Mul(Of(d))
	}
	return p
}
