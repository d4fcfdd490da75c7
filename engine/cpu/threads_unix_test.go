//go:build unix

package cpu_test

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/weights"
)

// wide is a model whose products are as long as those of a 1B model, in few
// layers.
var wide = weights.Config{
	Architecture: "llama", HiddenSize: 2048, IntermediateSize: 8192, NumHiddenLayers: 2, NumAttentionHeads: 32,
	NumKeyValueHeads: 8, HeadDim: 64, VocabSize: 2000, RMSNormEps: 1e-5, RopeTheta: 500000, TieWordEmbeddings: true,
}

func openWide(t testing.TB, mode engine.Precision) engine.Backend {
	return openIn(t, mode, wide, engine.RandomSource(wide, weights.BF16, 1), 0)
}

// whileComputing calls f while all threads of b compute: a prompt, then one
// position after another, until f returns.
func whileComputing(t testing.TB, b engine.Backend, f func()) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan error, 1)
	var begun atomic.Bool
	go func() {
		prompt := make([]int32, 64)
		for {
			for i := range 200 {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				row := engine.Row{Tokens: prompt, Blocks: blocks(0, 5), LastN: 1}
				if i > 0 {
					row.Start, row.Tokens = len(prompt)+i-1, prompt[:1]
				}
				if _, err := b.Step(context.Background(), &engine.Batch{Rows: []engine.Row{row}}); err != nil {
					ended <- err
					return
				}
				begun.Store(true)
			}
		}
	}()
	for !begun.Load() && len(ended) == 0 {
		time.Sleep(time.Millisecond)
	}
	f()
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// heartbeat wakes every 5 ms, n times, and returns how much later it ran, sorted.
func heartbeat(n int) []time.Duration {
	const beat = 5 * time.Millisecond
	late := make([]time.Duration, n)
	for i := range late {
		begin := time.Now()
		time.Sleep(beat)
		late[i] = time.Since(begin) - beat
	}
	slices.Sort(late)
	return late
}

// collections is how long n collections took, sorted.
func collections(n int) []time.Duration {
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		runtime.GC()
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took
}

// interrupts is how long a step of a long prompt took to return after its
// context ended, n times at random instants, sorted.
func interrupts(t testing.TB, b engine.Backend, n int) []time.Duration {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	batch := &engine.Batch{Rows: []engine.Row{{Tokens: make([]int32, 4096), Blocks: blocks(0, 64), LastN: 1}}}
	took := make([]time.Duration, n)
	for i := range took {
		ctx, cancel := context.WithCancel(context.Background())
		var ended atomic.Int64
		clock := time.Now()
		time.AfterFunc(time.Duration(1+r.IntN(60))*time.Millisecond, func() {
			ended.Store(int64(time.Since(clock)))
			cancel()
		})
		if _, err := b.Step(ctx, batch); err != context.Canceled {
			t.Fatalf("a prompt that should take seconds ended with %v", err)
		}
		took[i] = time.Since(clock) - time.Duration(ended.Load())
	}
	slices.Sort(took)
	return took
}

func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[int(share*float64(len(sorted)-1))]
}

// While all threads compute, a sleeping goroutine wakes, a collection ends and a
// prompt can be interrupted. The limits are for a machine that is busy with other
// tests; BenchmarkThreads tells the figures. Kernels without a place to be
// stopped at make a collection last seconds.
func TestThreadsYield(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes kernels' callers slow, not kernels: the plain run tests this")
	}
	b := openWide(t, engine.Fast)
	whileComputing(t, b, func() {
		late, took := heartbeat(60), collections(10)
		t.Logf("a beat of 5 ms late by %v (median), %v (most); collections %v, %v", at(late, 0.5), at(late, 1), at(took, 0.5), at(took, 1))
		if at(late, 0.5) > 50*time.Millisecond {
			t.Errorf("half of the beats are more than 50 ms late")
		}
		if at(took, 0.5) > 500*time.Millisecond {
			t.Errorf("half of the collections take more than 500 ms")
		}
	})
	stops := interrupts(t, b, 9)
	t.Logf("interrupted in %v (median), %v (most)", at(stops, 0.5), at(stops, 1))
	if at(stops, 0.5) > 250*time.Millisecond {
		t.Errorf("half of the interrupts take more than 250 ms")
	}
}

// Collections and signals that stop goroutines anywhere change no bit.
func TestStormsChangeNoBit(t *testing.T) {
	const depth = 150
	least := 100 * time.Millisecond
	if testing.Short() || raceDetector {
		least = 0
	}
	eachModeAndCase(t, func(t *testing.T, mode engine.Precision, c *tinyCase) {
		b := openIn(t, mode, c.Config.Config, c.source(), 3)
		compute := func() []float32 {
			kv := blocks(0, 3)
			got := slices.Clone(step(t, b, engine.Row{Tokens: c.IDs[:100], Blocks: kv, LastN: 100})[0])
			for i := 100; i < depth; i++ {
				got = append(got, step(t, b, engine.Row{Tokens: c.IDs[i%len(c.IDs):][:1], Start: i, Blocks: kv, LastN: 1})[0]...)
			}
			return got
		}
		want := compute()

		stop, ended := make(chan struct{}), make(chan struct{}, 2)
		storm := func(f func()) {
			for {
				select {
				case <-stop:
					ended <- struct{}{}
					return
				default:
					f()
				}
			}
		}
		go storm(runtime.GC)
		go storm(func() {
			_ = syscall.Kill(syscall.Getpid(), syscall.SIGURG) // what the runtime stops goroutines with
			time.Sleep(20 * time.Microsecond)
		})
		defer func() {
			close(stop)
			<-ended
			<-ended
		}()
		for begin, first := time.Now(), true; first || time.Since(begin) < least; first = false {
			got := compute()
			for k := range want {
				if math.Float32bits(got[k]) != math.Float32bits(want[k]) {
					t.Fatalf("logit %d is %v in a storm, %v without", k, got[k], want[k])
				}
			}
		}
	})
}

// BenchmarkThreads tells how long others wait while all threads compute.
func BenchmarkThreads(b *testing.B) {
	for _, mode := range modes {
		b.Run(string(mode), func(b *testing.B) {
			be := openWide(b, mode)
			for b.Loop() {
				var late, took []time.Duration
				whileComputing(b, be, func() { late, took = heartbeat(400), collections(50) })
				stops := interrupts(b, be, 20)
				for name, d := range map[string]time.Duration{
					"beat-late-p50-ms": at(late, 0.5), "beat-late-p99-ms": at(late, 0.99), "gc-p50-ms": at(took, 0.5), "gc-most-ms": at(took, 1),
					"interrupt-p50-ms": at(stops, 0.5), "interrupt-most-ms": at(stops, 1),
				} {
					b.ReportMetric(d.Seconds()*1e3, name)
				}
			}
		})
	}
}
