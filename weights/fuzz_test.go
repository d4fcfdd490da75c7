package weights

import (
	"encoding/json"
	"errors"
	"testing"
)

// Each target checks, beside that nothing panics, what must hold of anything
// that is accepted.

// nanoConfig makes files small enough to be mutated fast.
var nanoConfig = Config{Architecture: "llama", HiddenSize: 2, IntermediateSize: 1, NumHiddenLayers: 1, NumAttentionHeads: 1, NumKeyValueHeads: 1,
	HeadDim: 2, VocabSize: 8, MaxPositionEmbeddings: 4, RMSNormEps: 1e-5, RopeTheta: 10000, BOS: -1}

func typed(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("error %v (%T), expected *Error", err, err)
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(safetensorsFile(hfTensors(nanoConfig, "F16")[:3]))
	f.Add(rawSafetensors("{}", nil))
	f.Add(rawSafetensors(one(goodFields), make([]byte, 4)))
	f.Add(rawSafetensors(`{"__metadata__":{"a":"\u00e9"},"b":{"shape":[0,3],"dtype":"F8_E4M3","data_offsets":[0,0]}} `, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := parseSafetensors(data)
		typed(t, err)
		total := 0
		for _, x := range tensors {
			total += len(x.Data)
		}
		if err != nil {
			return
		}
		n := le.Uint64(data)
		if total != len(data)-8-int(n) {
			t.Fatalf("tensors hold %d bytes of %d", total, len(data)-8-int(n))
		}
		// What we accept is JSON to everybody else, too.
		if !json.Valid(data[8 : 8+n]) {
			t.Fatalf("accepted a header that is no JSON: %q", data[8:8+n])
		}
	})
}

func FuzzGGUF(f *testing.F) {
	f.Add(ggufOf(nanoConfig, 0).bytes())
	f.Add(ggufOf(nanoConfig, 30).bytes())
	var blocks []ggufTensor
	for _, id := range []uint32{6, 7, 12, 13, 14, 10} {
		blocks = append(blocks, ggufTensor{name: ggmlTypes[id].name, dims: []uint64{256, 2}, typ: id})
	}
	f.Add(ggufFile{tensors: blocks}.bytes())
	f.Add(ggufFile{}.bytes())
	f.Add(ggufFile{keys: []ggufKV{{"a", stringsValue("x", "")}, {"general.alignment", u32Value(64)}}}.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseGGUF(data)
		typed(t, err)
		if err != nil {
			return
		}
		total := 0
		for _, x := range g.tensors {
			total += len(x.Data)
		}
		if total > len(data) {
			t.Fatalf("tensors hold %d bytes of a file of %d", total, len(data))
		}
		_, err = g.vocab()
		typed(t, err)
		_, err = g.template()
		typed(t, err)
		c, err := g.config()
		typed(t, err)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("config %+v was accepted: %v", c, err)
		}
		src, _, err := bind(c, g.tensors, GGUF, true)
		typed(t, err)
		if err == nil && len(src.Names()) != len(TensorShapes(c)) {
			t.Fatalf("%d names, the config implies %d", len(src.Names()), len(TensorShapes(c)))
		}
		_, err = g.ropeFactors(c)
		typed(t, err)
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add(configJSON(tinyConfig, `"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192},`))
	f.Add([]byte(`{"dim": 4096, "multiple_of": 256, "ffn_dim_multiplier": 1.3, "vocab_size": -1, "use_scaled_rope": true}`))
	f.Add([]byte(`{"eos_token_id": [1, 2], "rope_parameters": {"rope_theta": 1e6}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := ParseConfig(data, "config.json")
		typed(t, err)
		if err == nil && c.VocabSize != -1 {
			if err := c.Validate(); err != nil {
				t.Fatalf("config %+v was accepted: %v", c, err)
			}
		}
		_, err = parseTemplate(data)
		typed(t, err)
		if _, err = parseObject(data, KindConfig); err == nil && !json.Valid(data) {
			t.Fatalf("accepted what is no JSON: %q", data)
		}
	})
}

func FuzzIndex(f *testing.F) {
	_, index := shardedFiles()
	f.Add(index)
	f.Add([]byte(`{"weight_map": {"a": "x.safetensors"}, "metadata": {"total_size": 1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseIndex(data)
		typed(t, err)
		if err != nil {
			return
		}
		for tensor, shard := range x.files {
			if !plainName(shard) {
				t.Fatalf("tensor %q is in %q", tensor, shard)
			}
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is no JSON: %q", data)
		}
	})
}
