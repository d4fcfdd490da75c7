package weights

import (
	"fmt"
	"slices"
	"strings"
)

// shardIndex is *.safetensors.index.json: which file holds which tensor.
type shardIndex struct {
	files map[string]string // tensor → shard
	names []string          // the shards, sorted
}

// parseIndex reads {"metadata": …, "weight_map": {tensor: shard}}.
func parseIndex(data []byte) (shardIndex, error) {
	s := &scanner{data: data, kind: KindCheckpoint}
	x := shardIndex{files: map[string]string{}}
	seen := map[string]struct{}{}
	found := false
	err := s.object(maxMetadata, maxNameBytes, func(key string) error {
		if key != "weight_map" {
			return s.skip()
		}
		found = true
		return s.object(maxTensors, maxNameBytes, func(tensor string) error {
			at := s.pos
			shard, err := s.str(255)
			if err != nil {
				return err
			}
			if !plainName(shard) || !strings.HasSuffix(shard, ".safetensors") {
				return s.fail(at, "shard %q of tensor %q is not the plain name of a .safetensors file", clip(shard), clip(tensor))
			}
			x.files[tensor] = shard
			seen[shard] = struct{}{}
			if len(seen) > maxShards {
				return s.fail(at, "more than %d shards", maxShards)
			}
			return nil
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && len(x.files) == 0 {
		msg := "weight_map is empty"
		if !found {
			msg = "has no weight_map"
		}
		err = &Error{Kind: KindCheckpoint, Msg: msg}
	}
	for shard := range seen {
		x.names = append(x.names, shard)
	}
	slices.Sort(x.names)
	return x, err
}

// check compares the tensors of a shard with what the index says of it.
func (x shardIndex) check(shard string, tensors []rawTensor) error {
	has := make(map[string]struct{}, len(tensors))
	for _, t := range tensors {
		has[t.Name] = struct{}{}
		switch of, ok := x.files[t.Name]; {
		case of == shard || !ok && Ignorable(t.Name):
		case ok:
			return tensorError(t.Name, fmt.Sprintf("is in this shard, the index says %s", of), "")
		default:
			return tensorError(t.Name, "is in this shard, the index does not have it", "")
		}
	}
	for name, of := range x.files {
		if _, ok := has[name]; of == shard && !ok {
			return tensorError(name, "is not in this shard, though the index says so", "download the shard again")
		}
	}
	return nil
}
