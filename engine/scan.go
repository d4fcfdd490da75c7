package engine

import "math"

// scan is
//
//	for i, v := range x {
//		if v > max { argmax, max = i, v }      // the first of equal ones
//		finite = finite && !isNaN(v) && !isInf(v)
//	}
//
// in one pass. A float32 is not finite when all eight bits of its exponent are
// ones; adding one to that field then carries into the top bit. x is not empty.
func scan(x []float32) (argmax int, maximum float32, finite bool) { // x: (vocab,)
	const exponent, one = 0x7f800000, 0x00800000
	maximum = x[0]
	var carry uint32
	for i, v := range x {
		carry |= math.Float32bits(v)&exponent + one
		if v > maximum {
			argmax, maximum = i, v
		}
	}
	return argmax, maximum, carry>>31 == 0
}
