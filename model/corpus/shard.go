package corpus

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The header of a shard: 256 int32, of which three are used.
const (
	headerWords = 256
	headerBytes = headerWords * 4

	magic16, version16 = 20240520, 1 // uint16 ids
	magic32, version32 = 20240801, 7 // uint32 ids
)

// shardTokens is where a shard ends: 200 or 400 MB, small enough to copy and check one by one.
const shardTokens = 100_000_000

func header(width int, tokens int64) []byte {
	h := make([]byte, headerBytes)
	magic, version := uint32(magic16), uint32(version16)
	if width == 4 {
		magic, version = magic32, version32
	}
	binary.LittleEndian.PutUint32(h, magic)
	binary.LittleEndian.PutUint32(h[4:], version)
	binary.LittleEndian.PutUint32(h[8:], uint32(tokens))
	return h
}

// checkHeader compares the beginning of a shard with what the manifest says of it.
func checkHeader(f io.ReaderAt, width int, tokens int64) error {
	h := make([]byte, headerBytes)
	if _, err := f.ReadAt(h, 0); err != nil {
		return err
	}
	if want := header(width, tokens); string(h[:12]) != string(want[:12]) {
		return fmt.Errorf("its header (% x) is not that of %d tokens of %d bytes (% x)", h[:12], tokens, width, want[:12])
	}
	return nil
}

// shardWriter writes the ids of one part into as many shards as they take.
type shardWriter struct {
	dir, name string
	width     int   // bytes of an id
	limit     int64 // ids in a shard
	shards    []Shard

	file   *os.File // the shard under way, nil when none is
	out    *bufio.Writer
	tokens int64 // in it

	resumed int64 // tokens that an earlier preparation left in the next shard; 0: none
}

// path is that of shard number i.
func (w *shardWriter) path(i int) string {
	return filepath.Join(w.dir, fmt.Sprintf("%s-%05d.bin", w.name, i))
}

// sync puts all that was written on the disk.
func (w *shardWriter) sync() error {
	if w.file == nil {
		return nil
	}
	if err := w.out.Flush(); err != nil {
		return fullDisk(w.file.Name(), err)
	}
	if err := w.file.Sync(); err != nil {
		return fullDisk(w.file.Name(), err)
	}
	return nil
}

// write appends ids, of which a document's may be spread over two shards.
func (w *shardWriter) write(ids []uint32) error {
	for len(ids) > 0 {
		if w.file == nil {
			if err := w.open(); err != nil {
				return err
			}
		}
		n := min(int64(len(ids)), w.limit-w.tokens)
		var b [4]byte
		for _, id := range ids[:n] {
			binary.LittleEndian.PutUint32(b[:], id)
			if _, err := w.out.Write(b[:w.width]); err != nil {
				return fullDisk(w.file.Name(), err)
			}
		}
		ids = ids[n:]
		if w.tokens += n; w.tokens == w.limit {
			if err := w.finish(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *shardWriter) open() error {
	if w.resumed > 0 {
		return w.reopen()
	}
	f, err := os.Create(w.path(len(w.shards)))
	if err != nil {
		return fmt.Errorf("a shard cannot be written: %w", err)
	}
	w.file, w.tokens = f, 0
	w.out = bufio.NewWriterSize(f, 1<<18)
	_, err = w.out.Write(header(w.width, 0)) // the number of tokens follows in finish
	if err != nil {
		return fullDisk(f.Name(), err)
	}
	return nil
}

// reopen goes on with a shard after the tokens that are known to be whole.
func (w *shardWriter) reopen() error {
	f, err := os.OpenFile(w.path(len(w.shards)), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("a shard cannot be gone on with: %w", err)
	}
	end := headerBytes + w.resumed*int64(w.width)
	err = f.Truncate(end)
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fullDisk(f.Name(), err), f.Close())
	}
	w.file, w.tokens, w.resumed = f, w.resumed, 0
	w.out = bufio.NewWriterSize(f, 1<<18)
	return nil
}

// finish completes the shard under way, if there is one, on the disk.
func (w *shardWriter) finish() error {
	if w.file == nil && w.resumed > 0 { // nothing followed
		if err := w.reopen(); err != nil {
			return err
		}
	}
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	err := w.out.Flush()
	if err == nil {
		_, err = f.WriteAt(header(w.width, w.tokens), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fullDisk(f.Name(), err)
	}
	sum, err := sumFile(f.Name())
	if err != nil {
		return err
	}
	w.shards = append(w.shards, Shard{filepath.Base(f.Name()), w.tokens, headerBytes + w.tokens*int64(w.width), sum})
	return nil
}

// abandon closes the shard under way after an error elsewhere.
func (w *shardWriter) abandon() {
	if w.file != nil {
		w.file.Close()
	}
}

// sumFile returns the SHA-256 of a file. A shard is read back for it, from memory mostly, as its header is written last.
func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading back what was written: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<18)); err != nil {
		return "", fmt.Errorf("reading back what was written: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fullDisk words an error from writing; err may name the path already.
func fullDisk(path string, err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("%s cannot be written: %w; is the disk full or over its quota? Make room, or prepare into another folder", path, err)
}
