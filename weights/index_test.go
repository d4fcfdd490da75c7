package weights

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// shardedFiles are three shards of the tiny model and their index.
func shardedFiles() (files map[string][]byte, index []byte) {
	parts := map[string][]stTensor{}
	weightMap := map[string]string{}
	for i, s := range hfTensors(tinyConfig, "F32") {
		name := fmt.Sprintf("model-%05d-of-00003.safetensors", i%3+1)
		parts[name] = append(parts[name], s)
		weightMap[s.name] = name
	}
	files = map[string][]byte{}
	for name, list := range parts {
		files[name] = safetensorsFile(list)
	}
	return files, indexOf(weightMap)
}

func indexOf(weightMap map[string]string) []byte {
	index, _ := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": weightMap})
	return index
}

func TestIndex(t *testing.T) {
	const first, norm = "model-00001-of-00003.safetensors", "model.norm.weight"
	for _, tt := range []struct {
		name   string
		change func(files map[string][]byte, weightMap map[string]string) // nil index: taken from weightMap
		kind   ErrorKind
		want   []string
	}{
		{"good", func(map[string][]byte, map[string]string) {}, "", nil},
		{"a stray file", func(f map[string][]byte, _ map[string]string) { f["other.safetensors"] = []byte("x") }, "", nil},
		{"inv_freq in a shard", func(f map[string][]byte, m map[string]string) {
			addTo(f, m, first, stTensor{"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", []int{4}})
		}, "", nil},
		{"inv_freq in the index too", func(f map[string][]byte, m map[string]string) {
			addTo(f, m, first, stTensor{"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", []int{4}})
			m["model.layers.0.self_attn.rotary_emb.inv_freq"] = first
		}, "", nil},
		{"shard missing", func(f map[string][]byte, _ map[string]string) { delete(f, first) }, KindMissingFile, []string{first, "does not exist"}},
		{"tensor elsewhere", func(_ map[string][]byte, m map[string]string) { m[norm] = other(m[norm]) }, KindCheckpoint, []string{"tensor \"" + norm + "\"", ".safetensors"}},
		{"tensor in no shard", func(_ map[string][]byte, m map[string]string) { m["model.layers.9.mlp.up_proj.weight"] = first }, KindCheckpoint,
			[]string{first, `tensor "model.layers.9.mlp.up_proj.weight"`, "is not in this shard, though the index says so"}},
		{"tensor not in the index", func(_ map[string][]byte, m map[string]string) { delete(m, norm) }, KindCheckpoint, []string{norm, "the index does not have it"}},
		{"foreign tensor", func(f map[string][]byte, m map[string]string) {
			addTo(f, m, first, stTensor{"extra.weight", "F32", []int{4}})
			m["extra.weight"] = first
		}, KindCheckpoint, []string{`tensor "extra.weight"`, "is not one that the config implies"}},
		{"tensor twice", func(f map[string][]byte, m map[string]string) {
			addTo(f, m, other(m[norm]), stTensor{norm, "F32", []int{32}})
		}, KindCheckpoint, []string{norm, "is in this shard, the index says"}},
		{"shard broken", func(f map[string][]byte, _ map[string]string) { f[first] = f[first][:100] }, KindCheckpoint, []string{first, "cut short"}},
		{"shard empty", func(f map[string][]byte, _ map[string]string) { f[first] = nil }, KindCheckpoint, []string{first, "is empty"}},
		{"path", func(_ map[string][]byte, m map[string]string) { m[norm] = "../x.safetensors" }, KindCheckpoint, []string{"index.json", "is not the plain name"}},
		{"absolute path", func(_ map[string][]byte, m map[string]string) { m[norm] = "/etc/x.safetensors" }, KindCheckpoint, []string{"is not the plain name"}},
		{"backslash", func(_ map[string][]byte, m map[string]string) { m[norm] = `..\x.safetensors` }, KindCheckpoint, []string{"is not the plain name"}},
		{"another kind of file", func(_ map[string][]byte, m map[string]string) { m[norm] = "config.json" }, KindCheckpoint, []string{"is not the plain name of a .safetensors file"}},
		{"empty map", func(_ map[string][]byte, m map[string]string) { clear(m) }, KindCheckpoint, []string{"weight_map is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, index := shardedFiles()
			var parsed struct {
				WeightMap map[string]string `json:"weight_map"`
			}
			if err := json.Unmarshal(index, &parsed); err != nil {
				t.Fatal(err)
			}
			tt.change(files, parsed.WeightMap)
			files["model.safetensors.index.json"] = indexOf(parsed.WeightMap)
			files["config.json"] = configJSON(tinyConfig, "")
			dir := folderOf(t, files)
			c, err := Open(context.Background(), dir, Options{})
			if tt.kind != "" {
				refused(t, err, tt.kind, tt.want...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if len(c.Files) != 3 || len(c.Names()) != len(TensorShapes(tinyConfig)) || c.Path != dir {
				t.Errorf("%d files, %d names, path %s", len(c.Files), len(c.Names()), c.Path)
			}
			if named := mustOpen(t, filepath.Join(dir, "model.safetensors.index.json"), Options{}); len(named.Files) != 3 {
				t.Errorf("by its index: %d files", len(named.Files))
			}
		})
	}
}

// addTo writes one more tensor into a shard.
func addTo(files map[string][]byte, weightMap map[string]string, shard string, extra stTensor) {
	var list []stTensor
	for _, s := range hfTensors(tinyConfig, "F32") {
		if weightMap[s.name] == shard {
			list = append(list, s)
		}
	}
	files[shard] = safetensorsFile(append(list, extra))
}

func other(shard string) string {
	if strings.Contains(shard, "00002-of") {
		return "model-00003-of-00003.safetensors"
	}
	return "model-00002-of-00003.safetensors"
}

func TestIndexAttacks(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"list", `[]`, "expected {"},
		{"no map", `{"metadata": {}}`, "has no weight_map"},
		{"map a list", `{"weight_map": []}`, "expected {"},
		{"shard a number", `{"weight_map": {"a": 1}}`, `expected "`},
		{"tensor twice", `{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}`, `duplicate key "a"`},
		{"map twice", `{"weight_map": {"a": "x.safetensors"}, "weight_map": {}}`, `duplicate key "weight_map"`},
		{"case", `{"Weight_Map": {"a": "x.safetensors"}}`, "has no weight_map"},
		{"trailing", `{"weight_map": {"a": "x.safetensors"}} x`, "JSON goes on"},
		{"metadata nested", `{"metadata": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "nested deeper"},
		{"NUL in a name", `{"weight_map": {"a": "x\u0000.safetensors"}}`, "is not the plain name"},
		{"long name", `{"weight_map": {"a": "` + strings.Repeat("x", 300) + `.safetensors"}}`, "at most 255"},
		{"4097 shards", `{"weight_map": {` + manyShards(maxShards+1) + `}}`, "more than 4096 shards"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseIndex([]byte(tt.text))
			refused(t, err, KindCheckpoint, tt.want)
		})
	}
	x, err := parseIndex([]byte(`{"weight_map": {` + manyShards(3) + `}, "metadata": {"total_size": 1e9, "x": [true, null]}}`))
	if err != nil || !maps.Equal(x.files, map[string]string{"t0": "0.safetensors", "t1": "1.safetensors", "t2": "2.safetensors"}) {
		t.Errorf("%v, %v", x, err)
	}
}

func manyShards(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"t%d": "%d.safetensors"`, i, i)
	}
	return strings.Join(list, ",")
}
