package simd

import (
	"runtime"
	"strings"
	"time"
)

// Limit is what a unit of this processor can do at most: the rate of one
// multiplying instruction on registers alone.
type Limit struct {
	Name string          // as Plan.Limit says it
	Unit string          // "GF/s", or "Gop/s" of integers
	run  func(turns int) // a loop
	ops  float64         // of one turn: a multiplication and an addition are two
}

// limitChunk is about how long one call of a loop lasts.
const limitChunk = 100 * time.Microsecond

// Limits are those of this processor's units that DisableEnv leaves; none where
// only pure Go computes.
func Limits() []Limit { return unitLimits(usable()) }

// AMX has one limit for each kind of tile.
const (
	limitAMXPairs = "AMX bf16"
	limitAMXBytes = "AMX int8"
)

// Limit names the limit of what multiplies type t with many rows: "" where
// package pure does.
func (p *Plan) Limit(t Type) string {
	k := p.kernels[t]
	if k == nil {
		return ""
	}
	name, _, _ := strings.Cut(k.what, ",")
	switch {
	case strings.HasPrefix(name, "AMX") && k.form == formBF16:
		return limitAMXPairs
	case strings.HasPrefix(name, "AMX"):
		return limitAMXBytes
	}
	return name
}

// Measure is the rate in operations a second of all goroutines of the pool
// together, over about d.
func (l Limit) Measure(pool *Pool, d time.Duration) float64 {
	turns := 64
	for {
		t := time.Now()
		l.run(turns)
		if took := time.Since(t); took >= limitChunk {
			break
		}
		turns *= 2
	}
	n := pool.Size() * max(1, int(d/limitChunk))
	t := time.Now()
	_ = pool.Run(n, func(_, _ int) { l.run(turns) }) // registers alone: nothing panics
	return l.ops * float64(turns) * float64(n) / time.Since(t).Seconds()
}

// readChunk is how much is read between two claims.
const readChunk = 64 << 10

// ReadRate is the rate in bytes a second at which the goroutines of the pool
// together read mem, as often as d has room for and at least once. Each reads one
// stream, as products do.
func ReadRate(pool *Pool, mem []byte, d time.Duration) float64 {
	if len(mem) < readChunk {
		return 0
	}
	read := active.read
	if read == nil {
		read = readWords
	}
	chunks := len(mem) / readChunk
	t := time.Now()
	passes := 0
	for passes == 0 || time.Since(t) < d {
		_ = pool.Run(chunks, func(_, c int) { read(mem[c*readChunk:][:readChunk]) })
		passes++
	}
	return float64(passes) * float64(chunks*readChunk) / time.Since(t).Seconds()
}

// readWords reads p by 8 bytes.
func readWords(p []byte) {
	var a, b, c, d uint64
	for w := as[uint64](p); len(w) >= 8; w = w[8:] {
		a, b, c, d = a|w[0]|w[4], b|w[1]|w[5], c|w[2]|w[6], d|w[3]|w[7]
	}
	runtime.KeepAlive(a | b | c | d)
}
