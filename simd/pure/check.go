package pure

import "fmt"

// checkLen panics when two lengths that must agree do not: a bug of the caller.
func checkLen(op string, want, got int) {
	if want != got {
		badLen(op, want, got)
	}
}

//go:noinline
func badLen(op string, want, got int) {
	panic(fmt.Sprintf("simd/pure: %s: slices of %d and %d elements", op, want, got))
}
