package cpu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/simd"
	"github.com/llama-go/llama-go/weights"
)

// OpenCached is Open that keeps the quantized matrices of a checkpoint in a file of
// its own in folder dir, so that the next load reads them instead of quantizing
// again. The file's name follows from the checkpoint's identity, the quantization
// and the layout; one that is stale, cut short or changed is never used. What goes
// wrong with it is logged and costs no load.
func OpenCached(dir string) engine.OpenBackend {
	return func(ctx context.Context, cfg weights.Config, src weights.Source, opt engine.BackendOptions,
		progress func(done, total int64)) (engine.Backend, error) {
		return open(ctx, cfg, src, opt, dir, progress)
	}
}

// cacheLayout changes with the formats of package simd, with the order in which
// place lays matrices out, and with the file's own format.
const cacheLayout = 1

const (
	cacheMagic = "llama-go panels\n"
	cacheChunk = 8 << 20 // bytes of a checksum
	cachePage  = 4096    // what the data begins at a multiple of
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A cache is the file of one model's quantized matrices:
//
//	16 bytes cacheMagic
//	32 bytes SHA-256 of the key
//	8 bytes  size of the data
//	4 bytes  CRC-32C of each cacheChunk of the data
//	4 bytes  CRC-32C of all this, then zeros up to a multiple of cachePage
//	the data
type cache struct {
	path string
	key  [32]byte
}

// newCache is the cache of what a checkpoint is quantized to, or nil.
func newCache(dir string, src weights.Source, q engine.Quantize, plan *simd.Plan, size int) *cache {
	ck, ok := src.(*weights.Checkpoint)
	if !ok || dir == "" || q == engine.NoQuantize {
		return nil
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s\x00%s\x00%v\x00%v\x00%d",
		cacheLayout, ck.Identity, q, plan.Packs(simd.I8), plan.Packs(simd.I4), size))
	return &cache{filepath.Join(dir, hex.EncodeToString(key[:16])+".panels"), key}
}

// header describes data whose chunks have the given checksums.
func (c *cache) header(size int, sums []uint32) []byte {
	h := append([]byte(cacheMagic), c.key[:]...)
	h = binary.LittleEndian.AppendUint64(h, uint64(size))
	for _, s := range sums {
		h = binary.LittleEndian.AppendUint32(h, s)
	}
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	return append(h, make([]byte, roundUp(len(h), cachePage)-len(h))...)
}

// sums are the checksums of the chunks that header has.
func (c *cache) sums(header []byte, size int) []uint32 {
	sums := make([]uint32, chunks(size, cacheChunk))
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(header[len(cacheMagic)+len(c.key)+8+4*i:])
	}
	return sums
}

// readCache fills mem from the file and tells whether it did; if not, mem may hold
// anything. Errors are the context's.
func (l *loader) readCache(c *cache, mem []byte) (bool, error) {
	f, err := os.Open(c.path)
	if err != nil {
		return false, nil // the usual case
	}
	defer f.Close()
	header := c.header(len(mem), make([]uint32, chunks(len(mem), cacheChunk)))
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(header)+len(mem)) {
		l.refuse(c, "its size is wrong")
		return false, nil
	}
	got := make([]byte, len(header))
	if _, err := io.ReadFull(f, got); err != nil {
		l.refuse(c, err.Error())
		return false, nil
	}
	sums := c.sums(got, len(mem))
	if !bytes.Equal(got, c.header(len(mem), sums)) {
		l.refuse(c, "its header is wrong")
		return false, nil
	}
	var bad atomic.Bool
	batch := 2 * l.pool.Size()
	for lo := 0; lo < len(sums); lo += batch {
		hi := min(len(sums), lo+batch)
		if err := l.pool.Run(hi-lo, func(_, i int) {
			at := (lo + i) * cacheChunk
			part := mem[at:min(len(mem), at+cacheChunk)]
			if _, err := f.ReadAt(part, int64(len(header)+at)); err != nil || crc32.Checksum(part, castagnoli) != sums[lo+i] {
				bad.Store(true)
			}
		}); err != nil {
			return false, err
		}
		if bad.Load() {
			l.refuse(c, "its data is damaged")
			l.done = 0
			return false, nil
		}
		if err := l.report(l.total * int64(hi) / int64(len(sums))); err != nil {
			return false, err
		}
	}
	return true, nil
}

// refuse says why a file is not used. It will be written anew.
func (l *loader) refuse(c *cache, why string) {
	slog.Warn("the cache of quantized weights is not used", "file", c.path, "reason", why)
}

// writeCache keeps mem, unless something goes wrong.
func (l *loader) writeCache(c *cache, src weights.Source, mem []byte) error {
	if weights.Changed(src) != nil { // while it was read: the load fails
		return nil
	}
	sums := make([]uint32, chunks(len(mem), cacheChunk))
	if err := l.pool.Run(len(sums), func(_, i int) {
		sums[i] = crc32.Checksum(mem[i*cacheChunk:min(len(mem), (i+1)*cacheChunk)], castagnoli)
	}); err != nil {
		return err
	}
	if err := c.write(l.ctx, c.header(len(mem), sums), mem); err != nil {
		if l.ctx.Err() != nil {
			return l.ctx.Err()
		}
		slog.Warn("quantized weights are not kept", "file", c.path, "error", err)
		return nil
	}
	slog.Info("quantized weights are kept", "file", c.path, "bytes", len(mem))
	return nil
}

// write makes the file at once: another process sees none or all of it.
func (c *cache) write(ctx context.Context, header, mem []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), "*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // it is thrown away
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(header); err != nil {
		return err
	}
	for len(mem) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(mem), cacheChunk)
		if _, err := f.Write(mem[:n]); err != nil {
			return err
		}
		mem = mem[n:]
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path)
}
