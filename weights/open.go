package weights

import (
	"bytes"
	"context"
	"fmt"
)

// Options of Open.
type Options struct {
	// TokenizerPath names the tokenizer file; "" looks beside the weights and
	// one level up.
	TokenizerPath string
}

// Open opens and completely checks a folder or one checkpoint file. It maps the
// weights and reads only headers. On failure it returns an *Error, or ctx's error, and leaves nothing open or mapped.
func Open(ctx context.Context, path string, opt Options) (*Checkpoint, error) {
	p, err := locate(path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	maps := &mappings{}
	var c *Checkpoint
	err = guard(func() (err error) {
		c, err = p.open(ctx, maps, opt)
		return err
	})
	if err == nil {
		err = p.unchanged(c, opt)
	}
	if err != nil {
		maps.close()
		return nil, located(err, p.path(p.name))
	}
	return c, nil
}

// open maps and checks; the caller unmaps when it fails.
func (p place) open(ctx context.Context, maps *mappings, opt Options) (*Checkpoint, error) {
	c := &Checkpoint{Path: p.asked, maps: maps}
	var err error
	if c.Identity, err = p.identity(opt.TokenizerPath); err != nil {
		return nil, err
	}
	head, err := p.head()
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(head, []byte("GGUF")) {
		err = p.openGGUF(c)
	} else {
		err = p.openSafetensors(ctx, c, head)
	}
	if err != nil {
		return nil, err
	}
	if err := p.openTokenizer(c, opt.TokenizerPath); err != nil {
		return nil, err
	}
	return c, ctx.Err()
}

// unchanged checks that no file was replaced or written while it was opened.
func (p place) unchanged(c *Checkpoint, opt Options) error {
	now, err := p.identity(opt.TokenizerPath)
	if err == nil && now != c.Identity {
		err = &Error{Kind: KindCheckpoint, File: c.Path, Msg: "changed while it was being opened", Help: "open it again when the download or conversion has ended"}
	}
	return err
}

// head returns the first bytes of the weight file, for detection by content.
func (p place) head() ([]byte, error) {
	f, info, err := p.folder.open(p.name, KindCheckpoint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() == 0 {
		return nil, &Error{Kind: KindCheckpoint, File: p.path(p.name), Msg: "is empty"}
	}
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	return b[:n], nil
}

// mapFile maps a weight file whole.
func (p place) mapFile(c *Checkpoint, name string) ([]byte, error) {
	f, info, err := p.folder.open(name, KindCheckpoint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := c.maps.add(f, info.Size())
	if err != nil {
		return nil, &Error{Kind: KindCheckpoint, File: p.path(name), Msg: "cannot be mapped: " + err.Error(), Err: err}
	}
	c.Files = append(c.Files, p.path(name))
	c.stamps = append(c.stamps, stamp{p.path(name), info})
	c.Bytes += info.Size()
	return data, nil
}

func (p place) openGGUF(c *Checkpoint) error {
	data, err := p.mapFile(c, p.name)
	if err != nil {
		return err
	}
	c.Format = "gguf"
	g, err := parseGGUF(data)
	if err != nil {
		return err
	}
	if c.Config, err = g.config(); err != nil {
		return err
	}
	src, _, err := bind(c.Config, g.tensors, GGUF, true)
	if err != nil {
		return err
	}
	if src.factors, err = g.ropeFactors(c.Config); err != nil {
		return err
	}
	c.use(src)
	c.EOS = c.Config.EOS
	c.Sampling, c.Warnings = g.sampling()
	if c.Tokenizer.GGUF, err = g.vocab(); err != nil {
		return err
	}
	if c.Tokenizer.GGUF != nil {
		c.Tokenizer.Path = p.path(p.name)
	}
	c.ChatTemplate, err = g.template()
	return err
}

// use makes src the checkpoint's Source.
func (c *Checkpoint) use(src *files) {
	src.maps = c.maps
	c.Source = src
	c.Config.DType = src.mainType()
}

func (p place) openSafetensors(ctx context.Context, c *Checkpoint, head []byte) error {
	c.Format = "safetensors"
	if !p.index {
		if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte{0x80, 2}) {
			return pickleError(p.path(p.name), "this file")
		}
		if len(head) < 9 || head[8] != '{' {
			return &Error{Kind: KindCheckpoint, File: p.path(p.name), Msg: fmt.Sprintf("starts with %q, expected a GGUF or safetensors file", head)}
		}
	}
	// The config first: what cannot be is said before any weight is looked at.
	name, err := p.configName()
	if err != nil {
		return err
	}
	var unknown []string
	if c.Config, unknown, err = p.config(name); err != nil {
		return err
	}
	for _, key := range unknown {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: unknown key %q", name, key))
	}
	if err := p.readGeneration(c); err != nil {
		return err
	}
	if c.EOS == nil {
		c.EOS = c.Config.EOS
	}
	tensors, err := p.readShards(ctx, c)
	if err != nil {
		return err
	}
	if c.Config.VocabSize == -1 {
		c.Config.VocabSize = embeddingRows(tensors)
		if err := c.Config.Validate(); err != nil {
			return located(err, p.path(name))
		}
	}
	src, ignored, err := bind(c.Config, tensors, AnyNaming, p.index)
	if err != nil {
		return err
	}
	c.Warnings = append(c.Warnings, ignored...)
	c.use(src)
	return nil
}

// readShards maps the weight file, or all shards of the index, and returns
// their tensors.
func (p place) readShards(ctx context.Context, c *Checkpoint) ([]rawTensor, error) {
	if !p.index {
		return p.readOne(c, p.name)
	}
	data, err := p.read(p.name, maxIndexBytes, KindCheckpoint)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(data)
	if err != nil {
		return nil, err
	}
	var all []rawTensor
	for _, shard := range index.names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tensors, err := p.readOne(c, shard)
		if err != nil {
			return nil, err
		}
		if err := index.check(shard, tensors); err != nil {
			return nil, located(err, p.path(shard))
		}
		if all = append(all, tensors...); len(all) > maxTensors {
			return nil, &Error{Kind: KindCheckpoint, Msg: fmt.Sprintf("the shards have more than %d tensors", maxTensors)}
		}
	}
	return all, nil
}

func (p place) readOne(c *Checkpoint, name string) ([]rawTensor, error) {
	data, err := p.mapFile(c, name)
	if err != nil {
		return nil, err
	}
	tensors, err := parseSafetensors(data)
	return tensors, located(err, p.path(name))
}

// embeddingRows is the vocabulary of a params.json that leaves it open.
func embeddingRows(tensors []rawTensor) int {
	for _, t := range tensors {
		if name, _, _ := CanonicalName(t.Name); name == "model.embed_tokens.weight" && len(t.Shape) == 2 {
			return t.Shape[0]
		}
	}
	return -1
}

// openTokenizer reads the tokenizer that the caller names, else the GGUF's own,
// else what lies beside the weights.
func (p place) openTokenizer(c *Checkpoint, path string) error {
	var template string
	var err error
	switch {
	case path != "":
		c.Tokenizer, template, err = OpenTokenizer(path)
	case c.Tokenizer.GGUF == nil:
		c.Tokenizer, template, err = p.findTokenizer()
	}
	if err != nil {
		return err
	}
	if c.ChatTemplate == "" && c.Format == "safetensors" {
		if c.ChatTemplate, err = p.template(); err != nil {
			return err
		}
	}
	if c.ChatTemplate == "" {
		c.ChatTemplate = template
	}
	return nil
}
