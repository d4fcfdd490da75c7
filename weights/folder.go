package weights

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// folder is a model's folder, opened so that no name or link inside it leads
// out. A snapshot of the Hugging Face cache is rooted at its "models--…"
// folder, for its files are links into blobs/ there.
type folder struct {
	root   *os.Root
	inside string // the folder's path below the root
	dir    string // its real path, for messages
}

// openFolder opens dir, which may itself be a link.
func openFolder(dir string) (*folder, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, err
	}
	top := cacheRoot(abs)
	inside, err := filepath.Rel(top, abs)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	return &folder{root, inside, abs}, nil
}

// openNamed opens the folder of a path that the user named, and says which file
// in it is meant: pick's choice where the path is a folder. A link that the
// user names is followed; links inside folders may not leave them.
func openNamed(path string, pick func(*folder) string) (f *folder, name string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", err
	}
	if info.IsDir() {
		if f, err = openFolder(path); err != nil {
			return nil, "", err
		}
		return f, pick(f), nil
	}
	if f, err = openFolder(filepath.Dir(path)); err != nil {
		return nil, "", err
	}
	name = filepath.Base(path)
	if _, err = f.root.Stat(filepath.Join(f.inside, name)); err == nil {
		return f, name, nil
	}
	f.close()
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, "", err
	}
	if f, err = openFolder(filepath.Dir(real)); err != nil {
		return nil, "", err
	}
	return f, filepath.Base(real), nil
}

// cacheRoot is the "models--…" folder whose snapshots/<revision> dir is, or
// lies below, and else dir itself.
func cacheRoot(dir string) string {
	for at := dir; ; {
		up := filepath.Dir(at)
		if top := filepath.Dir(up); filepath.Base(up) == "snapshots" && strings.HasPrefix(filepath.Base(top), "models--") {
			return top
		}
		if up == at {
			return dir
		}
		at = up
	}
}

// list returns the names in the folder, sorted.
func (f *folder) list() ([]string, error) {
	d, err := f.root.Open(f.inside)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxFolderFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

func (f *folder) close() { f.root.Close() }

func (f *folder) has(name string) bool {
	_, err := f.root.Lstat(filepath.Join(f.inside, name))
	return err == nil
}

// path is where name lies, for messages.
func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// open opens a regular file of the folder by its plain name. kind is that of
// the error.
func (f *folder) open(name string, kind ErrorKind) (*os.File, fs.FileInfo, error) {
	file, info, err := f.openRegular(name)
	if err == nil {
		return file, info, nil
	}
	e := &Error{Kind: kind, File: f.path(name), Msg: "cannot be opened: " + cause(err), Err: err}
	link, lerr := f.root.Lstat(filepath.Join(f.inside, name))
	switch {
	case errors.Is(err, errIrregular):
		e.Msg = err.Error()
	case errors.Is(err, fs.ErrNotExist) && lerr != nil:
		e.Kind, e.Msg = KindMissingFile, "does not exist"
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Msg = KindMissingFile, "is a link to a file that does not exist"
	case errors.Is(err, fs.ErrPermission):
		e.Msg, e.Help = "cannot be read: permission denied", "check the owner and the mode of the file"
	case lerr == nil && !errors.Is(err, syscall.ELOOP) && link.Mode()&fs.ModeSymlink != 0:
		e.Msg = "is a link that leaves the model's folder"
		e.Help = "copy the file into the folder, or name the file that the link points to"
	}
	return nil, nil, e
}

// errIrregular is returned for what is there but is no regular file.
var errIrregular = errors.New("is not a regular file")

func (f *folder) openRegular(name string) (*os.File, fs.FileInfo, error) {
	if !plainName(name) {
		return nil, nil, fmt.Errorf("%q is not a plain file name", clip(name))
	}
	at := filepath.Join(f.inside, name)
	info, err := f.root.Stat(at) // before the open, which may wait or act on a device
	if err != nil {
		return nil, nil, err
	}
	if err := regular(info); err != nil {
		return nil, nil, err
	}
	file, err := f.root.OpenFile(at, openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = regular(info) // what was opened may be another file by now
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func regular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%w but a folder", errIrregular)
	case mode&fs.ModeNamedPipe != 0:
		return fmt.Errorf("%w but a named pipe", errIrregular)
	case mode&fs.ModeSocket != 0:
		return fmt.Errorf("%w but a socket", errIrregular)
	case mode&fs.ModeDevice != 0:
		return fmt.Errorf("%w but a device", errIrregular)
	}
	return errIrregular
}

// plainName reports whether name names a file in a folder and nothing else.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\\\x00:")
}

// read reads a whole file of at most limit bytes. It takes memory as bytes
// arrive.
func (f *folder) read(name string, limit int64, kind ErrorKind) ([]byte, error) {
	file, info, err := f.open(name, kind)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > limit {
		return nil, &Error{Kind: kind, File: f.path(name), Msg: fmt.Sprintf("has %d bytes, at most %d are allowed", info.Size(), limit)}
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("grew beyond %d bytes while it was read", limit)
	}
	if err != nil {
		return nil, &Error{Kind: kind, File: f.path(name), Msg: "cannot be read: " + cause(err), Err: err}
	}
	return data, nil
}

// notThere reports whether err says that a path leads to nothing.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// cause is an operating system's error without the path, which the message has
// already.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
