package labels

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Writer adds sequences to a file, at its end only.
type Writer struct {
	// Cut is how many bytes were removed because they were no whole sequence any more, or came after one that was not.
	Cut int64

	f        *os.File
	codec    *codec
	has      map[int64]bool
	size     int64
	unsynced int64
	plain    []byte
}

// syncEvery is how many bytes a power cut may cost.
const syncEvery = 16 << 20

// Append opens the file to go on with it, or begins it. Every sequence that is there is read and checked; from the first that
// is not as it was written, the file is cut.
func Append(path string, s Settings) (*Writer, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("bug: %w", err)
	}
	if err := begin(path, s); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f, codec: newCodec(s), has: map[int64]bool{}}
	if err := w.resume(s); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return w, nil
}

// begin makes a file without sequences where there is none, whole or not at all.
func begin(path string, s Settings) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h, err := s.header()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(h)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// resume finds out what the file holds.
func (w *Writer) resume(s Settings) error {
	if err := syscall.Flock(int(w.f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process is adding to it (%w); wait for that one", err)
	}
	have, off, err := readHeader(w.f)
	if err != nil {
		return fmt.Errorf("%w; move it away, and they are made anew", err)
	}
	if have != s {
		return fmt.Errorf("it was begun with other settings: %+v, now %+v; move it away, and they are made anew", have, s)
	}
	end, err := fileSize(w.f)
	if err != nil {
		return err
	}
	var block []byte
	for off < end {
		p, ok := readPlace(w.f, off, end)
		if !ok {
			break
		}
		if block, err = p.block(w.f, block); errors.Is(err, ErrDamaged) {
			break
		} else if err != nil {
			return err
		}
		w.has[p.sequence] = true
		off = p.end()
	}
	w.size, w.Cut = off, end-off
	if w.Cut == 0 {
		return nil
	}
	return w.f.Truncate(off)
}

// Has says whether the sequence is there already.
func (w *Writer) Has(sequence int64) bool { return w.has[sequence] }

// Bytes is what all of it takes.
func (w *Writer) Bytes() int64 { return w.size }

// Add writes a sequence of T tokens at the end.
func (w *Writer) Add(sequence int64, l *Labels) (err error) {
	if w.plain, err = w.codec.encode(w.plain[:0], l); err != nil {
		return fmt.Errorf("what the teacher says of sequence %d is no distribution: %w", sequence, err)
	}
	r := record(sequence, w.plain)
	if _, err := w.f.WriteAt(r, w.size); err != nil {
		return fmt.Errorf("%w; what was written before is kept, and with more room the same command goes on", err)
	}
	w.has[sequence] = true
	w.size += int64(len(r))
	if w.unsynced += int64(len(r)); w.unsynced < syncEvery {
		return nil
	}
	w.unsynced = 0
	return w.f.Sync()
}

// Close brings everything to the disk.
func (w *Writer) Close() error { return errors.Join(w.f.Sync(), w.f.Close()) }
