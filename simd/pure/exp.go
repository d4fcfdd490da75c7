package pure

import "math"

// Exp is e^x in float32 within 2 ulp: Cephes expf (netlib.org/cephes,
// single/expf.c), x = n·ln2 + r with |r| ≤ ln2/2 and a polynomial of degree 6
// in r. Results below the smallest normal number are 0.
func Exp(x float32) float32 {
	if !(x >= -87.33654) {
		if x != x {
			return x
		}
		return 0
	}
	if x > 88.72283 {
		return float32(math.Inf(1))
	}
	const round = 0x1.8p23 // adding and taking it away rounds to an integer
	n := float32(float32(x*math.Log2E)+round) - round
	r := x - float32(n*0.693359375)
	r -= float32(n * -2.12194440e-4)
	p := float32(1.9875691500e-4)
	p = float32(p*r) + 1.3981999507e-3
	p = float32(p*r) + 8.3334519073e-3
	p = float32(p*r) + 4.1665795894e-2
	p = float32(p*r) + 1.6666665459e-1
	p = float32(p*r) + 5.0000001201e-1
	p = float32(p*float32(r*r)) + r
	p++
	e := int32(n)
	if e == 128 { // 2^128 is no float32, 2·2^127 may be in range times p < 1
		return float32(p*0x1p127) * 2
	}
	return p * math.Float32frombits(uint32(e+127)<<23)
}

// Softmax is
//
//	m := max(x)
//	for i := range x {
//		x[i] = Exp(x[i] - m)
//		s += float64(x[i])
//	}
//	for i := range x {
//		x[i] *= float32(1 / s)
//	}
func Softmax(x []float32) { // x: (n,)
	if len(x) == 0 {
		return
	}
	m := x[0]
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	var s float64
	for i, v := range x {
		e := Exp(v - m)
		x[i] = e
		s += float64(e)
	}
	r := float32(1 / s)
	for i := range x {
		x[i] *= r
	}
}

// SiLUMul is
//
//	for i, g := range gate {
//		dst[i] = g / (1 + Exp(-g)) * up[i]
//	}
//
// dst may be gate or up.
func SiLUMul(dst, gate, up []float32) { // dst, gate, up: (n,)
	checkLen("SiLUMul", len(dst), len(gate))
	checkLen("SiLUMul", len(dst), len(up))
	gate, up = gate[:len(dst)], up[:len(dst)]
	for i := range dst {
		g := gate[i]
		dst[i] = float32(g/(1+Exp(-g))) * up[i]
	}
}
