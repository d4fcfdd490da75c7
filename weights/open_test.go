package weights

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/llama-go/llama-go/internal/testdata"
)

func TestOpenSmolLM2(t *testing.T) {
	ck, err := Open(context.Background(), testdata.SmolLM2(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", ck.Config)
	t.Log(len(ck.Names()), ck.EOS, ck.Format, ck.Bytes, ck.Identity, ck.Warnings)
}

func TestOpenStories(t *testing.T) {
	ck, err := Open(context.Background(), filepath.Join(testdata.Dir(t), "stories260k", "hf_f32"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", ck.Config)
	t.Log(len(ck.Names()), ck.EOS, ck.Format, ck.Bytes, ck.Identity, ck.Warnings, ck.Tokenizer.Path, len(ck.Tokenizer.JSON))
}

func BenchmarkOpen(b *testing.B) {
	path := testdata.SmolLM2(b)
	for b.Loop() {
		ck, err := Open(context.Background(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		ck.Close()
	}
}

func BenchmarkOpenPopulate(b *testing.B) {
	path := testdata.SmolLM2(b)
	for b.Loop() {
		ck, err := Open(context.Background(), path, Options{Progress: func(int64, int64) {}})
		if err != nil {
			b.Fatal(err)
		}
		ck.Close()
	}
}
