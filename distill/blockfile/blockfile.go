// Package blockfile is an append-only file of compressed blocks, each with a key and checksums: what a long pass over text writes,
// so that a kill at any moment costs the block under way and nothing else.
//
// What the blocks mean is the caller's (distill/scores, distill/labels). A file that is written once and whole is something else: see
// model/checkpoint.
//
//	w, err := blockfile.Append(path, head)   // makes the file, or goes on after its last whole block
//	err = w.Write(key, block)
//	err = w.Close()
//
//	r, err := blockfile.Open(path)
//	for i := range r.Blocks() { block, err := r.Block(i, nil) }      of key r.Key(i)
//
// All numbers are little-endian, uint32 but for the keys, all checksums CRC-32C (Castagnoli). The file begins with the magic
// "SALTBLK2", then the head: its length, its bytes, their checksum. Each block is: the stored length n, the key (uint64), the
// checksum of these two, the checksum of the n bytes, and the n bytes, in Snappy's block format.
//
// A file is good up to the first block that is not as it was written, for whatever reason. Open reads where the blocks lie and no more:
// a block is checked when it is read. Append reads them all, and cuts the file off where it is not good any more, as what
// followed can be written again. A head that is damaged is an error for both, but for the beginning of one that is all there is.
//
// Invariants:
//  1. Cut anywhere, a file opens as its whole blocks before the cut, and going on gives the same bytes (TestCutAnywhere).
//  2. A byte changed anywhere is noticed by whoever reads it, and by whoever goes on (TestDamage).
//  3. One process writes to a file at a time, and nobody removes it meanwhile by Remove (TestOneWriter).
package blockfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/golang/snappy"
)

// ErrDamaged is wrapped by errors about a file that is not as it was written.
var ErrDamaged = errors.New("damaged")

const (
	magic       = "SALTBLK2"
	headerBytes = 20
	// maxBlock bounds what a damaged length could make us allocate.
	maxBlock = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// File is an open file of blocks. Its methods may be called at the same time.
type File struct {
	Head []byte // what the caller wrote at its beginning
	Torn int64  // bytes after the last whole block

	f      *os.File
	blocks []place
	end    int64
}

// place is where a block's bytes lie, after its header. There may be millions.
type place struct {
	key         uint64
	at          int64
	length, sum uint32
}

// Buffer is memory that reading takes again and again.
type Buffer struct{ stored, block []byte }

// Open opens a file for reading.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := index(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return r, nil
}

// Blocks is the number of blocks.
func (r *File) Blocks() int { return len(r.blocks) }

// Key is that of block number i.
func (r *File) Key(i int) uint64 { return r.blocks[i].key }

// Bytes is the size of the file up to its last block.
func (r *File) Bytes() int64 { return r.end }

// Name is the file's path.
func (r *File) Name() string { return r.f.Name() }

// Block reads block number i, into b unless that is nil.
func (r *File) Block(i int, b *Buffer) ([]byte, error) {
	if b == nil {
		b = &Buffer{}
	}
	p := r.blocks[i]
	if cap(b.stored) < int(p.length) {
		b.stored = make([]byte, p.length)
	}
	stored := b.stored[:p.length]
	if _, err := r.f.ReadAt(stored, p.at); err != nil {
		return nil, fmt.Errorf("%s: block %d: %w", r.Name(), i, err)
	}
	block, err := snappy.Decode(b.block[:cap(b.block)], stored)
	if err != nil || sum(stored) != p.sum {
		return nil, fmt.Errorf("%s: block %d at byte %d is %w", r.Name(), i, p.at-headerBytes, ErrDamaged)
	}
	b.block = block
	return block, nil
}

// Close closes the file.
func (r *File) Close() error { return r.f.Close() }

// index finds the blocks of a file.
func index(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, size := &File{f: f}, info.Size()
	if r.end, err = r.readHead(size); err != nil {
		return nil, err
	}
	for {
		var h [headerBytes]byte
		if size-r.end < headerBytes {
			break
		}
		if _, err := f.ReadAt(h[:], r.end); err != nil {
			return nil, err
		}
		p := place{
			key: binary.LittleEndian.Uint64(h[4:]), at: r.end + headerBytes,
			length: binary.LittleEndian.Uint32(h[:]), sum: binary.LittleEndian.Uint32(h[16:]),
		}
		if sum(h[:12]) != binary.LittleEndian.Uint32(h[12:]) || p.length > maxBlock || p.at+int64(p.length) > size {
			break
		}
		r.add(p)
	}
	r.Torn = size - r.end
	return r, nil
}

func (r *File) add(p place) {
	r.blocks = append(r.blocks, p)
	r.end = p.at + int64(p.length)
}

// cut forgets block number i and all after it.
func (r *File) cut(i int) {
	r.end = r.blocks[i].at - headerBytes
	r.blocks = r.blocks[:i]
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
