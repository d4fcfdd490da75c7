package pure

// Dot is
//
//	for k := range x {
//		s[k%2] += w[k] * x[k]
//	}
//	return s[0] + s[1]
func Dot(w, x []float32) float32 { // w, x: (k,)
	checkLen("Dot", len(w), len(x))
	x = x[:len(w)]
	var s0, s1 float32
	k := 0
	for ; k <= len(w)-4; k += 4 {
		s0 += float32(w[k] * x[k])
		s1 += float32(w[k+1] * x[k+1])
		s0 += float32(w[k+2] * x[k+2])
		s1 += float32(w[k+3] * x[k+3])
	}
	return dotTail(s0, s1, w[k:], x[k:])
}

// dotTail adds the products of an even position's few last elements and folds
// the sums.
func dotTail(s0, s1 float32, w, x []float32) float32 {
	x = x[:len(w)]
	for k := range w {
		if k&1 == 0 {
			s0 += float32(w[k] * x[k])
		} else {
			s1 += float32(w[k] * x[k])
		}
	}
	return s0 + s1
}

// Dot2 is
//
//	return Dot(w, x0), Dot(w, x1)
func Dot2(w, x0, x1 []float32) (y0, y1 float32) { // w, x0, x1: (k,)
	checkLen("Dot2", len(w), len(x0))
	checkLen("Dot2", len(w), len(x1))
	x0, x1 = x0[:len(w)], x1[:len(w)]
	var a0, a1, b0, b1 float32
	k := 0
	for ; k <= len(w)-4; k += 4 {
		v := w[k]
		a0 += float32(v * x0[k])
		b0 += float32(v * x1[k])
		v = w[k+1]
		a1 += float32(v * x0[k+1])
		b1 += float32(v * x1[k+1])
		v = w[k+2]
		a0 += float32(v * x0[k+2])
		b0 += float32(v * x1[k+2])
		v = w[k+3]
		a1 += float32(v * x0[k+3])
		b1 += float32(v * x1[k+3])
	}
	w = w[k:]
	return dotTail(a0, a1, w, x0[k:]), dotTail(b0, b1, w, x1[k:])
}

// Dot3 is
//
//	return Dot(w, x0), Dot(w, x1), Dot(w, x2)
//
// A step of four k adds twice to each sum: with one addition a step the
// compiler keeps all products until the end of the step and spills half.
func Dot3(w, x0, x1, x2 []float32) (y0, y1, y2 float32) { // w, x0, x1, x2: (k,)
	checkLen("Dot3", len(w), len(x0))
	checkLen("Dot3", len(w), len(x1))
	checkLen("Dot3", len(w), len(x2))
	x0, x1, x2 = x0[:len(w)], x1[:len(w)], x2[:len(w)]
	var a0, a1, b0, b1, c0, c1 float32
	k := 0
	for ; k <= len(w)-4; k += 4 {
		v := w[k]
		a0 += float32(v * x0[k])
		b0 += float32(v * x1[k])
		c0 += float32(v * x2[k])
		v = w[k+1]
		a1 += float32(v * x0[k+1])
		b1 += float32(v * x1[k+1])
		c1 += float32(v * x2[k+1])
		v = w[k+2]
		a0 += float32(v * x0[k+2])
		b0 += float32(v * x1[k+2])
		c0 += float32(v * x2[k+2])
		v = w[k+3]
		a1 += float32(v * x0[k+3])
		b1 += float32(v * x1[k+3])
		c1 += float32(v * x2[k+3])
	}
	w = w[k:]
	return dotTail(a0, a1, w, x0[k:]), dotTail(b0, b1, w, x1[k:]), dotTail(c0, c1, w, x2[k:])
}
