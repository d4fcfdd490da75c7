package weights

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// mapping is a whole file in memory, read-only.
type mapping struct {
	data  []byte
	unmap func() error
}

// mappings are the files of one checkpoint.
type mappings struct {
	list []*mapping
	once sync.Once
	err  error
}

// add maps f, which may be closed afterwards. size is its length.
func (m *mappings) add(f *os.File, size int64) ([]byte, error) {
	if size == 0 {
		return nil, errors.New("is empty")
	}
	if int64(int(size)) != size {
		return nil, fmt.Errorf("%d bytes do not fit this machine's address space", size)
	}
	data, unmap, err := mapFile(f, int(size))
	if err != nil {
		return nil, err
	}
	m.list = append(m.list, &mapping{data, unmap})
	return data, nil
}

// close unmaps all; later calls return what the first did.
func (m *mappings) close() error {
	m.once.Do(func() {
		for _, one := range m.list {
			if err := one.unmap(); err != nil && m.err == nil {
				m.err = err
			}
		}
		m.list = nil
	})
	return m.err
}

// populate brings every page into memory, chunk by chunk. The chunk follows the
// speed of the storage, so that ctx is looked at every few hundredths of a
// second.
func (m *mappings) populate(ctx context.Context, progress func(done, total int64)) error {
	var done, total int64
	for _, one := range m.list {
		total += int64(len(one.data))
	}
	chunk := populateMin
	for _, one := range m.list {
		for rest := one.data; len(rest) > 0; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(chunk, len(rest))
			start := time.Now()
			touch(rest[:n])
			switch took := time.Since(start); {
			case took < 10*time.Millisecond:
				chunk = min(2*chunk, populateMax)
			case took > 30*time.Millisecond:
				chunk = max(chunk/2, populateMin)
			}
			rest = rest[n:]
			done += int64(n)
			if progress != nil {
				progress(done, total)
			}
		}
	}
	return nil
}

// touchPages reads one byte of each page of data.
func touchPages(data []byte) {
	var sum byte
	for i := 0; i < len(data); i += os.Getpagesize() {
		sum |= data[i]
	}
	runtime.KeepAlive(sum)
}

// guard runs f, which reads mapped files, and turns the fault of a file that
// was truncated meanwhile, or cannot be read, into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, fault := v.(interface{ Addr() uintptr }); !fault {
			panic(v)
		}
		err = &Error{Kind: KindCheckpoint, Msg: "the file could not be read or was cut short while it was being opened",
			Help: "check the disk, and that no other program is writing the file", Err: v.(error)}
	}()
	return f()
}
