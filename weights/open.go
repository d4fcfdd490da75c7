package weights

import (
	"context"
	"errors"
)

// Options of Open.
type Options struct {
	// TokenizerPath names the tokenizer file; "" looks beside the weights and
	// one level up.
	TokenizerPath string
	// Progress, which may be nil, is told the bytes brought into memory so far
	// and in total. Without it Open maps the files and reads only headers.
	Progress func(done, total int64)
}

// Open opens and completely checks a folder or one checkpoint file.
func Open(ctx context.Context, path string, opt Options) (*Checkpoint, error) {
	return nil, errors.New("not yet")
}

// ParseConfig reads config.json or params.json.
func ParseConfig(data []byte, file string) (Config, []string, error) {
	return Config{}, nil, errors.New("not yet")
}

// ReadConfig reads config.json or params.json.
func ReadConfig(path string) (Config, []string, error) { return Config{}, nil, errors.New("not yet") }

// Validate checks.
func (c Config) Validate() error { return nil }

// Identity changes when any file of the checkpoint does.
func Identity(path string, opt Options) (string, error) { return "", errors.New("not yet") }
