package engine

// scan is
//
//	for i, v := range x {
//		if v > max { argmax, max = i, v }      // the first of equal ones
//		finite = finite && !isNaN(v) && !isInf(v)
//	}
//
// in one pass, four elements at a time: a larger one among them is rare. A finite
// number times zero is a zero, others are NaN, and so is every sum with them. x is
// not empty.
func scan(x []float32) (argmax int, maximum float32, finite bool) { // x: (vocab,)
	maximum = x[0]
	var z0, z1, z2, z3 float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		q := x[i : i+4 : i+4]
		a, b, c, d := q[0], q[1], q[2], q[3]
		z0, z1, z2, z3 = z0+a*0, z1+b*0, z2+c*0, z3+d*0
		if a > maximum || b > maximum || c > maximum || d > maximum {
			for k, v := range q {
				if v > maximum {
					argmax, maximum = i+k, v
				}
			}
		}
	}
	for ; i < len(x); i++ {
		z0 += x[i] * 0
		if x[i] > maximum {
			argmax, maximum = i, x[i]
		}
	}
	return argmax, maximum, z0+z1+z2+z3 == 0
}
