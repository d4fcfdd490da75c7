package weights

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
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
