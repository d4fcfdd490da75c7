package weights

import (
	"encoding/binary"
	"math"
	"slices"
)

// addsBOS are the pre-tokenizers of byte-level vocabularies that want a BOS
// although their files may not say so (llama.cpp src/llama-vocab.cpp).
var addsBOS = []string{"llama3", "llama-v3", "llama-bpe"}

// vocab reads tokenizer.ggml.*, or nil when the file has no vocabulary. It is
// decoded once.
func (g *gguf) vocab() (*GGUFVocab, error) {
	if _, ok := g.keys["tokenizer.ggml.tokens"]; !ok || g.decoded != nil {
		return g.decoded, nil
	}
	v, err := g.readVocab()
	if err != nil {
		return nil, err
	}
	g.decoded = v
	return v, nil
}

func (g *gguf) readVocab() (*GGUFVocab, error) {
	const prefix = "tokenizer.ggml."
	v := &GGUFVocab{}
	var err error
	if v.Tokens, _, err = g.strings(prefix+"tokens", maxVocab, maxTokenBytes); err != nil {
		return nil, err
	}
	if v.Merges, _, err = g.strings(prefix+"merges", maxMerges, 2*maxTokenBytes+1); err != nil {
		return nil, err
	}
	if v.Model, _, err = g.str(prefix+"model", 64); err != nil {
		return nil, err
	}
	if v.Pre, _, err = g.str(prefix+"pre", 64); err != nil {
		return nil, err
	}
	scores, ok, err := g.array(prefix+"scores", kvF32, maxVocab)
	if err != nil {
		return nil, err
	}
	if ok {
		v.Scores = make([]float32, scores.count)
		for i := range v.Scores {
			v.Scores[i] = math.Float32frombits(binary.LittleEndian.Uint32(scores.data[4*i:]))
		}
	}
	types, ok, err := g.array(prefix+"token_type", kvI32, maxVocab)
	if err != nil {
		return nil, err
	}
	if ok {
		v.Types = make([]int32, types.count)
		for i := range v.Types {
			v.Types[i] = int32(binary.LittleEndian.Uint32(types.data[4*i:]))
		}
	}
	n := len(v.Tokens)
	switch {
	case v.Scores != nil && len(v.Scores) != n:
		return nil, keyError(prefix+"scores", "has %d elements, the vocabulary has %d tokens", len(v.Scores), n)
	case v.Types != nil && len(v.Types) != n:
		return nil, keyError(prefix+"token_type", "has %d elements, the vocabulary has %d tokens", len(v.Types), n)
	}
	for _, id := range []struct {
		key string
		to  *int
	}{{"bos_token_id", &v.BOS}, {"eos_token_id", &v.EOS}, {"unknown_token_id", &v.UNK}} {
		if *id.to, ok, err = g.integer(prefix+id.key, n-1); err != nil {
			return nil, err
		}
		if !ok {
			*id.to = -1
		}
	}
	spm := v.Model == "llama"
	if v.AddBOS, err = g.boolean(prefix+"add_bos_token", spm || slices.Contains(addsBOS, v.Pre)); err != nil {
		return nil, err
	}
	if v.AddEOS, err = g.boolean(prefix+"add_eos_token", false); err != nil {
		return nil, err
	}
	v.AddSpacePrefix, err = g.boolean(prefix+"add_space_prefix", spm)
	return v, err
}
