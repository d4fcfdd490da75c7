package weights

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/llama-go/llama-go/internal/testdata"
)

// opened is what Open makes of bytes as a file of this name.
func opened(t *testing.T, dir, name string, data []byte) error {
	t.Helper()
	path := filepath.Join(dir, name)
	write(t, path, data)
	c, err := Open(context.Background(), path, Options{})
	if err == nil {
		c.Close()
	}
	return err
}

// TestTruncation cuts both formats at every byte.
func TestTruncation(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		data       []byte
	}{
		{"safetensors", "model.safetensors", safetensorsFile(hfTensors(tinyConfig, "F16"))},
		{"GGUF", "m.gguf", tinyGGUF(8).bytes()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folderOf(t, map[string][]byte{"config.json": configJSON(tinyConfig, "")})
			if err := opened(t, dir, tt.file, tt.data); err != nil {
				t.Fatal(err)
			}
			parse := func(data []byte) error {
				if tt.name == "GGUF" {
					_, err := parseGGUF(data)
					return err
				}
				_, err := parseSafetensors(data)
				return err
			}
			last := len(tt.data) - 1
			if tt.name == "GGUF" {
				last -= 31 // the last tensor's padding may be absent
			}
			for n := 0; n <= last; n++ {
				var e *Error
				if err := parse(tt.data[:n]); !errors.As(err, &e) || e.Kind != KindCheckpoint {
					t.Fatalf("cut at %d of %d: error %v, expected a checkpoint error", n, len(tt.data), err)
				}
				if n%499 == 0 || n == last { // the whole way, less often
					if err := opened(t, dir, tt.file, tt.data[:n]); !errors.As(err, &e) || e.Kind != KindCheckpoint {
						t.Fatalf("file cut at %d: error %v, expected a checkpoint error", n, err)
					}
				}
			}
		})
	}
}

// TestBitFlips flips every bit of the headers. A file that still opens must
// have the same tensors, in the same shapes.
func TestBitFlips(t *testing.T) {
	st := safetensorsFile(hfTensors(tinyConfig, "F16"))
	gguf := tinyGGUF(8).bytes()
	for _, tt := range []struct {
		name   string
		data   []byte
		header int
		parse  func(data []byte) ([]rawTensor, Config, error)
	}{
		{"safetensors", st, int(le.Uint64(st)) + 8, func(data []byte) ([]rawTensor, Config, error) {
			list, err := parseSafetensors(data)
			return list, tinyConfig, err
		}},
		{"GGUF", gguf, len(gguf) - dataSize(t, gguf), func(data []byte) ([]rawTensor, Config, error) {
			g, err := parseGGUF(data)
			if err != nil {
				return nil, Config{}, err
			}
			c, err := g.config()
			if err == nil {
				_, err = g.template()
			}
			return g.tensors, c, err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shapes := TensorShapes(tinyConfig)
			opens := 0
			for bit := range 8 * tt.header {
				data := append([]byte{}, tt.data...)
				data[bit/8] ^= 1 << (bit % 8)
				list, c, err := tt.parse(data)
				var src *files
				if err == nil {
					naming := AnyNaming
					if tt.name == "GGUF" {
						naming = GGUF
					}
					src, _, err = bind(c, list, naming, false)
				}
				var e *Error
				if err != nil {
					if !errors.As(err, &e) {
						t.Fatalf("bit %d: error %v (%T), expected *Error", bit, err, err)
					}
					continue
				}
				opens++
				for _, s := range shapes {
					v, ok := src.Tensor(s.Name)
					if !ok && s.Name == "lm_head.weight" && tt.name == "GGUF" {
						continue
					}
					if !ok || !reflect.DeepEqual(v.Shape, s.Shape) || len(v.Data) != product(s.Shape)/v.DType.BlockSize()*v.DType.BlockBytes() {
						t.Fatalf("bit %d: %s is %v of %s with %d bytes", bit, s.Name, v.Shape, v.DType, len(v.Data))
					}
				}
			}
			if opens == 0 || opens > 8*tt.header/2 {
				t.Errorf("%d of %d flips still open; some (in texts), but not most, should", opens, 8*tt.header)
			}
		})
	}
}

// dataSize is the length of a good file's data section.
func dataSize(t *testing.T, file []byte) int {
	g, err := parseGGUF(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, tensor := range g.tensors {
		n += (len(tensor.Data) + 31) / 32 * 32
	}
	return n
}

// TestTruncationReal cuts real files: smollm2 at the ends of tensors and inside
// its vocabulary, the small trained model at every 4 KiB and at every tensor.
func TestTruncationReal(t *testing.T) {
	t.Run("smollm2", func(t *testing.T) {
		c := mustOpen(t, testdata.SmolLM2(t), Options{})
		data := c.maps.list[0].data
		g, err := parseGGUF(data)
		if err != nil {
			t.Fatal(err)
		}
		cuts := []int{}
		at := len(data) - dataSize(t, data)
		for n := 0; n < at; n += at/20 + 1 {
			cuts = append(cuts, n)
		}
		for i, tensor := range g.tensors {
			if i%16 == 0 {
				cuts = append(cuts, at, at+1, at+len(tensor.Data)-1)
			}
			at += (len(tensor.Data) + 31) / 32 * 32
		}
		for _, n := range cuts {
			start := cpuTime()
			_, err := parseGGUF(data[:n])
			if took := cpuTime() - start; took > 50*time.Millisecond*slow {
				t.Errorf("cut at %d took %v, at most 50 ms are allowed", n, took)
			}
			refused(t, err, KindCheckpoint)
		}
	})
	t.Run("stories260k", func(t *testing.T) {
		from := filepath.Join(testdata.Dir(t), "stories260k", "hf_f32")
		data, err := os.ReadFile(filepath.Join(from, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		config, err := os.ReadFile(filepath.Join(from, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		dir := folderOf(t, map[string][]byte{"config.json": config})
		tensors, err := parseSafetensors(data)
		if err != nil {
			t.Fatal(err)
		}
		cuts := []int{len(data) - 1}
		for n := 0; n < len(data); n += 4096 {
			cuts = append(cuts, n)
		}
		at := 8 + int(le.Uint64(data))
		for _, tensor := range tensors {
			cuts = append(cuts, at, at+1)
			at += len(tensor.Data)
		}
		if at != len(data) {
			t.Fatalf("the tensors end at %d of %d", at, len(data))
		}
		for _, n := range cuts {
			refused(t, opened(t, dir, "model.safetensors", data[:n]), KindCheckpoint, "model.safetensors")
		}
	})
}
