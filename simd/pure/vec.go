package pure

import "math"

// Add is
//
//	for i, v := range x {
//		dst[i] += v
//	}
func Add(dst, x []float32) { // dst, x: (n,)
	checkLen("Add", len(dst), len(x))
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += x[i]
	}
}

// RMSNorm is
//
//	for i, v := range x {
//		s[i%2] += v * v
//	}
//	r := 1 / sqrt((s[0]+s[1])/n + eps)
//	for i, v := range x {
//		dst[i] = (v * r) * w[i]
//	}
//
// where r is computed in float64 and then rounded. dst may be x.
func RMSNorm(dst, x, w []float32, eps float64) { // dst, x, w: (n,)
	checkLen("RMSNorm", len(dst), len(x))
	checkLen("RMSNorm", len(dst), len(w))
	x, w = x[:len(dst)], w[:len(dst)]
	r := float32(1 / math.Sqrt(float64(Dot(x, x))/float64(len(x))+eps))
	for i := range dst {
		dst[i] = float32(x[i]*r) * w[i]
	}
}

// WeightedSum is
//
//	for t, a := range p {
//		for i := range dst {
//			dst[i] += a * v[t*len(dst)+i]
//		}
//	}
func WeightedSum(dst, p, v []float32) { // dst: (n,), p: (t,), v: (t, n)
	n := len(dst)
	checkLen("WeightedSum", n*len(p), len(v))
	for len(p) >= 4 {
		a, b, c, d := p[0], p[1], p[2], p[3]
		v0, v1, v2, v3 := v[:n], v[n:][:n], v[2*n:][:n], v[3*n:][:n]
		for i := range dst {
			s := dst[i] + float32(a*v0[i])
			s += float32(b * v1[i])
			s += float32(c * v2[i])
			s += float32(d * v3[i])
			dst[i] = s
		}
		p, v = p[4:], v[4*n:]
	}
	for _, a := range p {
		v0 := v[:n]
		for i := range dst {
			dst[i] += float32(a * v0[i])
		}
		v = v[n:]
	}
}

// RopeHalves turns the pairs (x[i], x[i+n]) of one head, n = len(cos):
//
//	for i := range cos {
//		a, b := x[i], x[i+n]
//		x[i] = a*cos[i] - b*sin[i]
//		x[i+n] = b*cos[i] + a*sin[i]
//	}
func RopeHalves(x, cos, sin []float32) { // x: (2n,), cos, sin: (n,)
	n := len(cos)
	checkLen("RopeHalves", 2*n, len(x))
	checkLen("RopeHalves", n, len(sin))
	lo, hi, sin := x[:n], x[n:][:n], sin[:n]
	for i := range cos {
		a, b := lo[i], hi[i]
		lo[i] = float32(a*cos[i]) - float32(b*sin[i])
		hi[i] = float32(b*cos[i]) + float32(a*sin[i])
	}
}

// RopeInterleaved turns the pairs (x[2i], x[2i+1]) of one head:
//
//	for i := range cos {
//		a, b := x[2*i], x[2*i+1]
//		x[2*i] = a*cos[i] - b*sin[i]
//		x[2*i+1] = b*cos[i] + a*sin[i]
//	}
func RopeInterleaved(x, cos, sin []float32) { // x: (2n,), cos, sin: (n,)
	n := len(cos)
	checkLen("RopeInterleaved", 2*n, len(x))
	checkLen("RopeInterleaved", n, len(sin))
	sin = sin[:n]
	for i := range cos {
		if len(x) < 2 {
			return
		}
		a, b := x[0], x[1]
		x[0] = float32(a*cos[i]) - float32(b*sin[i])
		x[1] = float32(b*cos[i]) + float32(a*sin[i])
		x = x[2:]
	}
}
