package checkpoint

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// filesystem is every operation by which [Write] changes the disk, so that tests can stop the world between any two. Reading
// goes to the operating system directly.
type filesystem interface {
	mkdirAll(path string) error
	mkdir(path string) error
	create(path string) (file, error) // fails where the file exists
	syncDir(path string) error        // makes the names in a folder durable
	rename(from, to string) error
	removeAll(path string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// osFiles is the real one.
type osFiles struct{}

func (osFiles) mkdirAll(path string) error   { return os.MkdirAll(path, 0o777) }
func (osFiles) mkdir(path string) error      { return os.Mkdir(path, 0o777) }
func (osFiles) rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) removeAll(path string) error  { return os.RemoveAll(path) }

func (osFiles) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func (osFiles) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // some network file systems have no such call: their renames are synchronous
	}
	return errors.Join(err, d.Close())
}
