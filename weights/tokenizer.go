package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	tokenizerJSON   = "tokenizer.json"
	tokenizerModel  = "tokenizer.model"
	tokenizerConfig = "tokenizer_config.json"
	templateFile    = "chat_template.jinja"
)

// OpenTokenizer reads a tokenizer file (tokenizer.json, tokenizer.model, or a
// GGUF file's vocabulary; the content says which) or that of a folder, and the
// chat template that lies beside it or in it, "" when there is none.
func OpenTokenizer(path string) (Tokenizer, string, error) {
	f, name, err := openNamed(path, (*folder).tokenizerName)
	switch {
	case err != nil && notThere(err):
		return Tokenizer{}, "", missing(fmt.Sprintf("Tokenizer file '%s' does not exist.", path), "")
	case err != nil:
		return Tokenizer{}, "", &Error{Kind: KindTokenizer, File: path, Msg: "cannot be opened: " + cause(err), Err: err}
	}
	defer f.close()
	if name == "" {
		return Tokenizer{}, "", missing(fmt.Sprintf("no tokenizer.json or tokenizer.model found in %s", path), "")
	}
	return f.tokenizer(name)
}

// tokenizerName is the tokenizer file of a folder, or "".
func (f *folder) tokenizerName() string {
	for _, name := range []string{tokenizerJSON, tokenizerModel} {
		if f.has(name) {
			return name
		}
	}
	return ""
}

// findTokenizer reads the tokenizer beside the weights or one level up; the
// zero Tokenizer when there is none.
func (f *folder) findTokenizer() (Tokenizer, string, error) {
	if name := f.tokenizerName(); name != "" {
		return f.tokenizer(name)
	}
	up := filepath.Dir(f.dir)
	if f.inside != "." || up == f.dir {
		return Tokenizer{}, "", nil // a cache snapshot has none above
	}
	above, err := openFolder(up)
	if err != nil {
		return Tokenizer{}, "", nil // a folder above that may not be read is not the model's
	}
	defer above.close()
	if name := above.tokenizerName(); name != "" {
		return above.tokenizer(name)
	}
	return Tokenizer{}, "", nil
}

// tokenizer reads one tokenizer file and the chat template beside it.
func (f *folder) tokenizer(name string) (t Tokenizer, template string, err error) {
	file, info, err := f.open(name, KindTokenizer)
	if err != nil {
		return t, "", err
	}
	defer file.Close()
	magic := make([]byte, 4)
	if n, _ := file.ReadAt(magic, 0); string(magic[:n]) == "GGUF" {
		t, template, err = ggufTokenizer(file, info)
		t.Path = f.path(name)
		var e *Error
		if errors.As(err, &e) {
			e.Kind = KindTokenizer // whatever is broken, it was to be a tokenizer
		}
		return t, template, located(err, f.path(name))
	}
	data, err := f.read(name, maxTokenizerBytes, KindTokenizer)
	if err != nil {
		return t, "", err
	}
	t.Path = f.path(name)
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		t.JSON = data
	} else {
		t.Model = data
	}
	template, err = f.template()
	return t, template, err
}

// ggufTokenizer copies the vocabulary out of a GGUF file.
func ggufTokenizer(file *os.File, info fs.FileInfo) (t Tokenizer, template string, err error) {
	var maps mappings
	defer maps.close()
	data, err := maps.add(file, info.Size())
	if err != nil {
		return t, "", &Error{Kind: KindTokenizer, Msg: "cannot be mapped: " + err.Error(), Err: err}
	}
	err = guard(func() error {
		g, err := parseGGUF(data)
		if err != nil {
			return err
		}
		if t.GGUF, err = g.vocab(); err != nil {
			return err
		}
		if t.GGUF == nil {
			return &Error{Kind: KindTokenizer, Msg: "has no vocabulary (tokenizer.ggml.tokens)"}
		}
		template, err = g.template()
		return err
	})
	return t, template, err
}

func (g *gguf) template() (string, error) {
	text, _, err := g.str("tokenizer.chat_template", maxTemplateBytes)
	return text, err
}

// template is the folder's chat template: chat_template.jinja, else the string
// in tokenizer_config.json, else the one named "default" in its list.
func (f *folder) template() (string, error) {
	if f.has(templateFile) {
		data, err := f.read(templateFile, maxTemplateBytes, KindTokenizer)
		return string(data), err
	}
	if !f.has(tokenizerConfig) {
		return "", nil
	}
	data, err := f.read(tokenizerConfig, maxConfigBytes, KindTokenizer)
	if err != nil {
		return "", err
	}
	text, err := parseTemplate(data)
	return text, located(err, f.path(tokenizerConfig))
}

// parseTemplate reads chat_template of a tokenizer_config.json: a string, or a
// list of {"name": …, "template": …}.
func parseTemplate(data []byte) (template string, err error) {
	s := &scanner{data: data, kind: KindTokenizer}
	err = s.object(maxMetadata, maxNameBytes, func(key string) error {
		if key != "chat_template" {
			return s.skip()
		}
		v, err := s.value()
		if err != nil {
			return err
		}
		switch v := v.(type) {
		case nil:
		case string:
			template = v
		case []value:
			for _, one := range v {
				o, _ := one.(object)
				if text, ok := o.values["template"].(string); ok && o.values["name"] == "default" {
					template = text
				}
			}
		default:
			return &Error{Kind: KindTokenizer, Where: key, Msg: fmt.Sprintf("is %s, expected a string or a list of named templates", plain(v))}
		}
		return nil
	})
	if err == nil {
		err = s.end()
	}
	return template, err
}
