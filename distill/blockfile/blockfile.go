// Package blockfile is an append-only file of compressed blocks, each with a checksum: what a long pass over text writes, so
// that a kill at any moment costs the block under way and nothing else.
//
// What the blocks mean is the caller's (distill/scores). A file that is written once and whole is something else: see
// model/checkpoint.
//
//	w, err := blockfile.Append(path, head)   // makes the file, or goes on after its last whole block
//	for i := w.Blocks(); i < n; i++ { err = w.Write(block(i)) }
//	err = w.Close()
//
//	r, err := blockfile.Open(path)
//	for i := range r.Blocks() { block, err := r.Block(i) }
//
// All numbers are little-endian uint32, all checksums CRC-32C (Castagnoli). The file begins with the magic "SALTBLK1", then the
// head: its length, its bytes, their checksum. Each block is: the stored length n, the checksum of its n bytes, the checksum
// of those two numbers, and the n bytes, in Snappy's block format.
//
// A write that was cut off leaves a torn tail: a block that ends beyond the file, or whose bytes are wrong with nothing but zeros
// after it. Append cuts it off, as it can be written again; Open says how long it is. Anything else that is wrong is damage, which
// no write of ours leaves, and is an error that names the place.
//
// Invariants:
//  1. Cut anywhere, a file opens as its whole blocks before the cut, and going on gives the same bytes (TestCutAnywhere).
//  2. A byte changed anywhere is noticed (TestDamage).
//
// One process writes to a file at a time.
package blockfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/golang/snappy"
)

// ErrDamaged is wrapped by errors about a file that is not as it was written.
var ErrDamaged = errors.New("damaged")

const (
	magic       = "SALTBLK1"
	headerBytes = 12
	// maxBlock bounds what a damaged length could make us allocate.
	maxBlock = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// File is an open file of blocks.
type File struct {
	Head []byte // what the caller wrote at its beginning
	Torn int64  // bytes after the last whole block

	f     *os.File
	start []int64 // of each block, and the end of the last
}

// Open opens a file for reading. Every block's checksum is verified.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := scan(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return r, nil
}

// Blocks is the number of whole blocks.
func (r *File) Blocks() int { return len(r.start) - 1 }

// Bytes is the size of the file up to its last whole block.
func (r *File) Bytes() int64 { return r.start[len(r.start)-1] }

// Block reads block number i.
func (r *File) Block(i int) ([]byte, error) {
	stored := make([]byte, r.start[i+1]-r.start[i])
	if _, err := r.f.ReadAt(stored, r.start[i]); err != nil {
		return nil, fmt.Errorf("%s: block %d: %w", r.f.Name(), i, err)
	}
	block, err := snappy.Decode(nil, stored[headerBytes:])
	if err != nil || sum(stored[headerBytes:]) != binary.LittleEndian.Uint32(stored[4:]) {
		return nil, fmt.Errorf("%s: block %d at byte %d is %w", r.f.Name(), i, r.start[i], ErrDamaged)
	}
	return block, nil
}

// Close closes the file.
func (r *File) Close() error { return r.f.Close() }

// scan reads all of a file and finds its blocks.
func scan(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, size := &File{f: f}, info.Size()
	at, err := r.readHead(size)
	if err != nil {
		return nil, err
	}
	r.start = []int64{at}
	var buf []byte
	for at < size {
		var header [headerBytes]byte
		if size-at < headerBytes {
			break
		}
		if _, err := f.ReadAt(header[:], at); err != nil {
			return nil, err
		}
		n := int64(binary.LittleEndian.Uint32(header[:]))
		whole := sum(header[:8]) == binary.LittleEndian.Uint32(header[8:]) && n <= maxBlock
		if whole && n > size-at-headerBytes {
			break // cut off
		}
		after := at + headerBytes
		if whole {
			if int64(cap(buf)) < n {
				buf = make([]byte, n)
			}
			if _, err := f.ReadAt(buf[:n], after); err != nil {
				return nil, err
			}
			after += n
			whole = sum(buf[:n]) == binary.LittleEndian.Uint32(header[4:])
		}
		if !whole {
			if zeros, err := zerosFrom(f, after, size); err != nil {
				return nil, err
			} else if zeros && (after > at+headerBytes || header == [headerBytes]byte{}) {
				break
			}
			return nil, fmt.Errorf("block %d at byte %d is %w, and more follows it", r.Blocks(), at, ErrDamaged)
		}
		at = after
		r.start = append(r.start, at)
	}
	r.Torn = size - at
	return r, nil
}

// readHead reads the beginning and says where the first block starts.
func (r *File) readHead(size int64) (int64, error) {
	fixed := make([]byte, len(magic)+4)
	if size < int64(len(fixed)+4) {
		return 0, fmt.Errorf("%w: its %d bytes are no beginning", ErrDamaged, size)
	}
	if _, err := r.f.ReadAt(fixed, 0); err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint32(fixed[len(magic):]))
	if string(fixed[:len(magic)]) != magic || n > size-int64(len(fixed)+4) {
		return 0, fmt.Errorf("%w: it does not begin as a file of blocks", ErrDamaged)
	}
	rest := make([]byte, n+4)
	if _, err := r.f.ReadAt(rest, int64(len(fixed))); err != nil {
		return 0, err
	}
	if sum(rest[:n]) != binary.LittleEndian.Uint32(rest[n:]) {
		return 0, fmt.Errorf("%w: its head has another checksum", ErrDamaged)
	}
	r.Head = rest[:n]
	return int64(len(fixed)) + n + 4, nil
}

func zerosFrom(f *os.File, at, size int64) (bool, error) {
	buf := make([]byte, 64<<10)
	for at < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && err != io.EOF {
			return false, err
		}
		for _, b := range buf[:n] {
			if b != 0 {
				return false, nil
			}
		}
		at += int64(n)
	}
	return true, nil
}
