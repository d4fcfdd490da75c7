// Package pure is the portable unit: every kernel in plain Go, always compiled,
// the definition that other units are judged by where they share its order.
//
// Each doc comment is the loop that the function computes, with dst first and
// sources after. Products are wrapped in float32(), so that no compiler fuses
// them into an FMA (arm64, GOAMD64=v3) and the bits are the same everywhere.
//
// # The order of a dot product
//
// Every product of a weight row and an activation row, of any weight type and
// for any number of rows, is
//
//	var s [2]float32
//	for k := range x {
//		s[k%2] += w[k] * x[k]
//	}
//	return s[0] + s[1]
//
// where w[k] is the stored weight rounded to float32 as ggml dequantizes it.
// The functions below differ in how many rows they walk at once and in whether
// they decode on the way, never in these sums: a row's result has the same bits
// alone and in company. Two accumulators, because three activation rows at once
// then fit sixteen registers, and one row decodes while it adds.
//
// Slices whose lengths do not fit panic with the operation and both lengths.
// Kernels never write outside dst and never read outside their sources.
package pure
