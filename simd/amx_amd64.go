//go:build amd64 && !purego

package simd

import (
	"errors"
	"unsafe"

	"github.com/llama-go/llama-go/simd/amx"
	"github.com/llama-go/llama-go/simd/avx512"
	"github.com/llama-go/llama-go/simd/pure"
)

// amxError says why the tiles of a processor that has them are not used, for
// Describe; it is empty too where there are none.
func amxError() string {
	if err := amx.Enable(); err != nil && !errors.Is(err, amx.ErrNone) {
		return err.Error()
	}
	return ""
}

// hasAMX asks the system for tiles.
func hasAMX() bool { return amx.Enable() == nil }

// amxPlan replaces kernels of an AVX-512 plan in fast mode. BF16 is multiplied by
// tiles for every number of rows, since TDPBF16PS has an order of its own; I8 and
// I4 for many, since sums of integers have none. Blocks of 32, as in Q8_0, gain
// little by tiles: the float steps of a block take longer than its products.
func amxPlan(p *Plan, fs features) {
	if fs.has(featAVX5BF16) {
		p.kernels[BF16] = &kernel{what: "AMX, bfloat16 activations", form: formBF16, per: 1,
			run: func(rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate int) {
				amx.BF16(1, rows, n, x, w, c, lda, ldc, accumulate, 0)
			},
			tiles: func(panels, rows, n int, x, w, c unsafe.Pointer, lda, ldc, accumulate, next int) int {
				amx.BF16(panels, rows, n, x, w, c, lda, ldc, accumulate, next)
				return rows
			}}
	} else {
		p.why = append(p.why, "no AVX512_BF16, which makes AMX's activations: BF16 as in exact mode")
	}
	if fs.has(featVNNI) {
		const own = "AMX for many rows, VNNI for few, turned int8 activations in groups of 256"
		p.kernels[I8] = &kernel{what: own, form: formOwn, per: pure.OwnBlock, run: avx512.Int8I8.Run, tiles: amx.I8}
		p.kernels[I4] = &kernel{what: own, form: formOwn, per: pure.OwnBlock, run: avx512.Int8I4.Run, tiles: amx.I4}
	}
}
