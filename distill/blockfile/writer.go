package blockfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/golang/snappy"
)

// Writer appends blocks to a file.
type Writer struct {
	*File
	Cut int64 // bytes that were cut off, as they were no whole blocks, or came after one that was not as it was written

	stored   []byte
	unsynced int
}

// syncEvery is how many bytes a power cut may cost.
const syncEvery = 16 << 20

// Append opens a file to go on after the last block that is as it was written, and makes it with that head where it is not there. The
// head of a file that is there stays as it is: whether it is the right one, the caller says. An error where another process
// writes to the file, and where its head is damaged.
func Append(path string, head []byte) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	w := &Writer{}
	if err := w.resume(f, head); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return w, nil
}

// Lock takes a file that is open for writing, which locks over NFS ask for, until it is closed. An error where another process has it;
// where the file system knows no locks, as Lustre often does not, nobody is kept out.
func Lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return nil
}

// take takes the file for this process, until it is closed.
func take(f *os.File) error {
	if err := Lock(f); err != nil {
		return fmt.Errorf("another process is adding to it (%w); wait for that one", err)
	}
	return nil
}

// Remove removes a file, unless another process writes to it.
func Remove(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err = take(f); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	} else {
		err = os.Remove(path)
	}
	return errors.Join(err, f.Close())
}

// begin writes the head where there is no more than the beginning of one: the file is new, or the process that began it was killed. It
// is not written aside and renamed, as the lock is on this file.
func begin(f *os.File, head []byte) error {
	b := append([]byte(magic), binary.LittleEndian.AppendUint32(nil, uint32(len(head)))...)
	b = binary.LittleEndian.AppendUint32(append(b, head...), sum(head))
	there := make([]byte, len(b))
	if n, err := f.ReadAt(there, 0); err == nil || n > 0 && !bytes.HasPrefix(b, there[:n]) {
		return nil // it has more, or something else, for index to judge
	} else if err != io.EOF {
		return err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Sync()
}

// resume takes the file for this process, until it ends at the latest, and finds out what it holds.
func (w *Writer) resume(f *os.File, head []byte) (err error) {
	if err := take(f); err != nil {
		return err
	}
	if err := begin(f, head); err != nil {
		return err
	}
	if w.File, err = index(f); err != nil {
		return err
	}
	size, b := w.end+w.Torn, &Buffer{}
	for i := range w.Blocks() {
		if _, err := w.Block(i, b); errors.Is(err, ErrDamaged) {
			w.cut(i)
			break
		} else if err != nil {
			return err
		}
	}
	if w.Cut = size - w.end; w.Cut == 0 {
		return nil
	}
	w.Torn = 0
	return f.Truncate(w.end)
}

// Write appends a block.
func (w *Writer) Write(key uint64, block []byte) error {
	if n := snappy.MaxEncodedLen(len(block)); n < 0 || n > maxBlock {
		return fmt.Errorf("bug: a block of %d bytes", len(block))
	} else if cap(w.stored) < headerBytes+n {
		w.stored = make([]byte, headerBytes+n)
	}
	buf := w.stored[:cap(w.stored)]
	body := snappy.Encode(buf[headerBytes:], block)
	p := place{key: key, at: w.end + headerBytes, length: uint32(len(body)), sum: sum(body)}
	binary.LittleEndian.PutUint32(buf, p.length)
	binary.LittleEndian.PutUint64(buf[4:], key)
	binary.LittleEndian.PutUint32(buf[12:], sum(buf[:12]))
	binary.LittleEndian.PutUint32(buf[16:], p.sum)
	n := headerBytes + len(body)
	if _, err := w.f.WriteAt(buf[:n], w.end); err != nil {
		return fmt.Errorf("%w; what was written before is kept, and with more room the same command goes on", err)
	}
	w.add(p)
	if w.unsynced += n; w.unsynced < syncEvery {
		return nil
	}
	return w.Sync()
}

// Truncate removes block number i and all after it.
func (w *Writer) Truncate(i int) error {
	if i >= w.Blocks() {
		return nil
	}
	w.cut(i)
	return w.f.Truncate(w.end)
}

// Sync puts what was written on the disk.
func (w *Writer) Sync() error {
	w.unsynced = 0
	return w.f.Sync()
}

// Close puts what was written on the disk and closes the file.
func (w *Writer) Close() error { return errors.Join(w.f.Sync(), w.f.Close()) }
