package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// place is where a checkpoint's weights are.
type place struct {
	*folder
	name  string // the weight file or the index
	index bool   // name is an index of shards
	asked string // what the user named, absolute: the folder or the file
}

const (
	oneSafetensors = "model.safetensors"
	indexSuffix    = ".safetensors.index.json"
)

// locate finds the weights that path means: a folder, a weight file or an
// index. The caller closes the place.
func locate(path string) (place, error) {
	p := place{}
	var chosen error
	picked := false
	f, name, err := openNamed(path, func(f *folder) (name string) {
		picked = true
		name, chosen = f.weights(path)
		return name
	})
	switch {
	case err != nil && notThere(err):
		return p, missing(fmt.Sprintf("Checkpoint directory '%s' does not exist.", path), "give a folder with weights, a .gguf or .safetensors file, or a known model's name")
	case err != nil:
		return p, &Error{Kind: KindCheckpoint, File: path, Msg: "cannot be opened: " + cause(err), Err: err}
	case chosen != nil:
		f.close()
		return p, chosen
	}
	p = place{f, name, strings.HasSuffix(name, indexSuffix), f.path(name)}
	if picked {
		p.asked = f.dir
	}
	return p, nil
}

// weights chooses the weight file of a folder, or its index. asked is the
// folder as the user named it.
func (f *folder) weights(asked string) (string, error) {
	names, err := f.list()
	if err != nil {
		return "", &Error{Kind: KindCheckpoint, File: asked, Msg: "cannot be listed: " + cause(err), Err: err}
	}
	with := func(match func(string) bool) (list []string) {
		for _, name := range names {
			if match(name) {
				list = append(list, name)
			}
		}
		return list
	}
	suffix := func(s string) func(string) bool {
		return func(name string) bool { return strings.HasSuffix(name, s) }
	}
	if f.has(oneSafetensors) {
		return oneSafetensors, nil
	}
	indexes := with(suffix(indexSuffix))
	tensors := with(func(name string) bool {
		return strings.HasSuffix(name, ".safetensors") && !strings.HasPrefix(name, "adapter_")
	})
	ggufs := with(suffix(".gguf"))
	pickles := with(func(name string) bool {
		return strings.HasSuffix(name, ".pth") || strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin")
	})
	several := func(what string, list []string) error {
		return &Error{Kind: KindCheckpoint, File: asked, Msg: fmt.Sprintf("has %d %s: %s; expected one", len(list), what, firstFew(list)), Help: "give the path of one of them"}
	}
	switch {
	case len(indexes) == 1:
		return indexes[0], nil
	case len(indexes) > 1:
		return "", several("indexes of safetensors files", indexes)
	case len(tensors) == 1:
		return tensors[0], nil
	case len(tensors) > 1:
		return "", &Error{Kind: KindMissingFile, File: asked, Err: fs.ErrNotExist,
			Msg:  fmt.Sprintf("has %d safetensors files (%s) but no %s%s", len(tensors), firstFew(tensors), "model", indexSuffix),
			Help: "download the index, or give the path of one file"}
	case len(ggufs) == 1:
		return ggufs[0], nil
	case len(ggufs) > 1:
		return "", several("GGUF files", ggufs)
	case len(pickles) > 0:
		return "", pickleError(asked, firstFew(pickles))
	}
	return "", missing("no checkpoint files found in "+asked, "expected model.safetensors, model.safetensors.index.json with its shards, or one .gguf file")
}

// pickleError refuses PyTorch's format and says how to convert.
func pickleError(file, what string) error {
	return &Error{Kind: KindCheckpoint, File: file, Msg: fmt.Sprintf("%s: PyTorch pickle weights are not supported, expected safetensors or GGUF", what),
		Help: "convert once with transformers: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT), which writes safetensors; Meta's .pth files first go through its convert_llama_weights_to_hf.py"}
}

func firstFew(list []string) string {
	const most = 4
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

// Identity is a text that changes when any file that Open would use does:
// device, inode, size and modification time of each. It opens no weight file.
func Identity(path string, opt Options) (string, error) {
	p, err := locate(path)
	if err != nil {
		return "", err
	}
	defer p.close()
	return p.identity(opt.TokenizerPath)
}

func (p place) identity(tokenizerPath string) (string, error) {
	h := sha256.New()
	add := func(f *folder, name string) {
		info, err := f.root.Stat(filepath.Join(f.inside, name))
		if err != nil || name == "" {
			return // absent; Open says so where that matters
		}
		dev, ino := fileID(info)
		fmt.Fprintf(h, "%q %d %d %d %d\n", f.path(name), dev, ino, info.Size(), info.ModTime().UnixNano())
	}
	add(p.folder, p.name)
	for _, name := range []string{hfConfig, metaConfig, generationConfig, tokenizerJSON, tokenizerModel, tokenizerConfig, templateFile} {
		add(p.folder, name)
	}
	if p.index {
		names, err := p.list()
		if err != nil {
			return "", &Error{Kind: KindCheckpoint, File: p.dir, Msg: "cannot be listed: " + cause(err), Err: err}
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".safetensors") {
				add(p.folder, name)
			}
		}
	}
	if tokenizerPath != "" {
		if t, name, err := openNamed(tokenizerPath, (*folder).tokenizerName); err == nil {
			add(t, name)
			t.close()
		}
	} else if p.tokenizerName() == "" {
		if up, err := openFolder(filepath.Dir(p.dir)); err == nil {
			add(up, up.tokenizerName())
			up.close()
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
