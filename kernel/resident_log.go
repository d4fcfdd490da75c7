package kernel

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// maxLog is the size at which a log is renamed to .1 and begun anew.
const maxLog = 4 << 20

// rotated is a log file of bounded size.
type rotated struct {
	path string

	mu   sync.Mutex
	f    *os.File
	size int64
}

// openLog opens a log for appending, mode 0600.
func openLog(path string) (*rotated, error) {
	r := &rotated{path: path}
	return r, r.open()
}

func (r *rotated) open() error {
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r.f, r.size = f, st.Size()
	return nil
}

// Write implements io.Writer. A log that cannot be rotated grows on.
func (r *rotated) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size+int64(len(p)) > maxLog && r.size > 0 {
		if os.Rename(r.path, r.path+".1") == nil {
			old := r.f
			if r.open() == nil {
				old.Close()
			}
		}
	}
	n, err := r.f.Write(p)
	r.size += int64(n)
	return n, err
}

// Close closes the file.
func (r *rotated) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.f.Close()
}

// newLogger logs at LLAMA_GO_LOG's level (debug, info, warn, error).
func newLogger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(strings.ToUpper(os.Getenv("LLAMA_GO_LOG")))) // an unknown level is info
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// tail is the end of a log, from offset on.
func tail(path string, offset int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	if offset > st.Size() { // it was rotated
		offset = 0
	}
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, max(offset, st.Size()-2048), 2048), 2048))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(data), ""))
}
