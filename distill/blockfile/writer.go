package blockfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/golang/snappy"
	"github.com/google/renameio/v2"
)

// Writer appends blocks to a file.
type Writer struct {
	*File
	stored []byte
}

// Append opens a file to go on after its last whole block, and makes it with that head where it is not there. A torn tail is cut
// off. The head of a file that is there stays as it is: whether it is the right one, the caller says.
func Append(path string, head []byte) (*Writer, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, head); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r, err := scan(f)
	if err == nil && r.Torn > 0 {
		err = f.Truncate(r.Bytes())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return &Writer{File: r}, nil
}

// create makes a file without blocks. It is there whole or not at all, so that there is no such thing as a torn head.
func create(path string, head []byte) error {
	b := append([]byte(magic), binary.LittleEndian.AppendUint32(nil, uint32(len(head)))...)
	b = binary.LittleEndian.AppendUint32(append(b, head...), sum(head))
	return renameio.WriteFile(path, b, 0o644, renameio.WithTempDir(filepath.Dir(path)))
}

// Write appends a block.
func (w *Writer) Write(block []byte) error {
	if n := snappy.MaxEncodedLen(len(block)); n < 0 || n > maxBlock {
		return fmt.Errorf("bug: a block of %d bytes", len(block))
	} else if cap(w.stored) < headerBytes+n {
		w.stored = make([]byte, headerBytes+n)
	}
	buf := w.stored[:cap(w.stored)]
	body := snappy.Encode(buf[headerBytes:], block)
	binary.LittleEndian.PutUint32(buf, uint32(len(body)))
	binary.LittleEndian.PutUint32(buf[4:], sum(body))
	binary.LittleEndian.PutUint32(buf[8:], sum(buf[:8]))
	at, n := w.Bytes(), headerBytes+len(body)
	if _, err := w.f.WriteAt(buf[:n], at); err != nil {
		return err
	}
	w.start = append(w.start, at+int64(n))
	return nil
}

// Cut removes block number i and all after it.
func (w *Writer) Cut(i int) error {
	if i >= w.Blocks() {
		return nil
	}
	w.start = w.start[:i+1]
	return w.f.Truncate(w.Bytes())
}

// Sync puts what was written on the disk.
func (w *Writer) Sync() error { return w.f.Sync() }

// Close puts what was written on the disk and closes the file.
func (w *Writer) Close() error { return errors.Join(w.f.Sync(), w.f.Close()) }
