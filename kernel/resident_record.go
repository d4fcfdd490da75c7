package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llama-go/llama-go/messaging"
)

// record is the connection file of a resident. Jupyter reads ConnInfo's fields;
// Resident says whose sockets they are, so that a file left behind by a crash, a
// reboot or another machine never points at a stranger.
type record struct {
	messaging.ConnInfo
	Resident residentRecord `json:"llama_go"`
}

type residentRecord struct {
	ID         string    `json:"id"`
	Version    string    `json:"version"`
	Exe        string    `json:"exe"`
	BinaryTime time.Time `json:"binary_time"` // of the executable's last change
	Host       string    `json:"host"`
	BootID     string    `json:"boot_id"`
	PID        int       `json:"pid"`
	Started    string    `json:"started"` // as the system tells it; compared only
}

// newRecord describes this process.
func newRecord(id, version string) residentRecord {
	r := residentRecord{ID: id, Version: version, Host: hostname(), BootID: bootID(), PID: os.Getpid()}
	r.Started, _ = processStart(r.PID)
	if exe, err := os.Executable(); err == nil {
		r.Exe = exe
		if st, err := os.Stat(exe); err == nil {
			r.BinaryTime = st.ModTime().UTC()
		}
	}
	return r
}

// alive reports whether the process that wrote the record still runs.
func (r residentRecord) alive() bool {
	if r.PID <= 0 || r.Host != hostname() || r.BootID != bootID() {
		return false
	}
	started, ok := processStart(r.PID)
	return ok && started == r.Started
}

// maxRecord is more than a connection file ever has.
const maxRecord = 64 << 10

func readRecord(path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("kernel: %s is not a resident's connection file: %w", path, err)
	}
	if r.Resident.PID == 0 {
		return record{}, fmt.Errorf("kernel: %s is not a resident's connection file", path)
	}
	return r, nil
}

// write writes the file with mode 0600, whole or not at all.
func (r record) write(path string) (err error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".llama-go-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("kernel: writing the connection file: %w", errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// remove deletes the file unless another resident has written it meanwhile.
func (r record) remove(path string) error {
	now, err := readRecord(path)
	if err != nil || now.Resident != r.Resident {
		return nil
	}
	return os.Remove(path)
}

// sweepSockets removes the socket files of residents of this prefix folder that
// have died: their names carry the pid.
func sweepSockets(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		var pid, port int
		name, ok := strings.CutPrefix(e.Name(), socketPrefix)
		if !ok || e.Type()&os.ModeSocket == 0 {
			continue
		}
		if n, err := fmt.Sscanf(name, "%d-%d", &pid, &port); n != 2 || err != nil {
			continue
		}
		if _, ok := processStart(pid); !ok {
			_ = os.Remove(filepath.Join(dir, e.Name())) // somebody else may have swept it
		}
	}
}

// socketPrefix begins the names of socket files; the pid and port follow.
const socketPrefix = "r"
