package weights

import (
	"fmt"
	"os"
	"time"
)

// stamp is what a weight file was when it was mapped.
type stamp struct {
	path string
	info os.FileInfo
}

// Changed tells whether a mapped file was written since: then its pages are no
// longer what was checked, and the error says so. A file that was unlinked or
// replaced by another of its name is no change: the mapping keeps the old one.
// It costs one stat per file; a change that was seen once stays.
func (c *Checkpoint) Changed() error {
	if e := c.written.Load(); e != nil {
		return e
	}
	for _, s := range c.stamps {
		now, err := os.Stat(s.path)
		if err != nil || !os.SameFile(now, s.info) {
			continue
		}
		if now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime()) {
			e := &Error{
				Kind: KindCheckpoint, File: s.path,
				Msg:  "was written at " + now.ModTime().Format(time.DateTime) + fmt.Sprintf(", while the model was open, and has %d bytes, had %d", now.Size(), s.info.Size()),
				Help: "open the model again; replace a model's files by renaming, never by writing into them",
			}
			c.written.Store(e)
			return e
		}
	}
	return nil
}

// Changed is src's own answer where it lies in files, else nil.
func Changed(src Source) error {
	if c, ok := src.(interface{ Changed() error }); ok {
		return c.Changed()
	}
	return nil
}
