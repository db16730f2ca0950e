package labels

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/golang/snappy"

	"saltern/compute"
)

// Settings are all that decides what a file holds for a sequence: with other settings it is another file.
type Settings struct {
	Form        string  `json:"form"`
	Count       int     `json:"count"`       // N draws of a token, or k
	Sequence    int     `json:"sequence"`    // T
	Vocab       int     `json:"vocab"`       // V
	Temperature float64 `json:"temperature"` // of the teacher
	Precision   string  `json:"precision"`   // of its matrix products
	Teacher     string  `json:"teacher"`     // checksum of its weights
	Corpus      string  `json:"corpus"`      // key of the prepared text, whose sequences are numbered
	Seed        int64   `json:"seed"`        // of the draws

	// Objective is "ul2" where the labels are those of its examples, each number of which stands for a sequence in one epoch.
	// Empty: of the text's sequences.
	Objective string `json:"objective,omitempty"`
}

// Key names the settings in a few letters, for a folder.
func (s Settings) Key() string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error() // no NaN gets this far
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// check says what a file cannot hold.
func (s Settings) check() error {
	switch {
	case s.Form != Sample && s.Form != TopK:
		return fmt.Errorf("form %q is unknown", s.Form)
	case s.Count < 1 || s.Count > compute.MaxKept:
		return fmt.Errorf("%d labels of a token are not 1 to %d", s.Count, compute.MaxKept)
	case s.Form == TopK && s.Count > s.Vocab:
		return fmt.Errorf("a vocabulary of %d does not have %d likely ids", s.Vocab, s.Count)
	case s.Vocab < 1 || s.Vocab >= 1<<20 || s.Sequence < 1 || s.Sequence > 1<<24:
		return fmt.Errorf("%d ids and sequences of %d tokens are out of bounds", s.Vocab, s.Sequence)
	}
	return nil
}

// DenseBytes is what a token's whole distribution would take in 16-bit floats.
func (s Settings) DenseBytes() int64 { return 2 * int64(s.Vocab) }

// ErrDamaged is what an error is that comes of a file that is not as it was written.
var ErrDamaged = errors.New("damaged soft labels")

// ErrMissing is what the error is for a sequence that the file does not hold.
var ErrMissing = errors.New("no soft labels")

const (
	magic       = "SALTSOFT"
	version     = 1
	recordBytes = 20 // before a block
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what a file begins with.
func (s Settings) header() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	h := binary.LittleEndian.AppendUint32([]byte(magic), version)
	h = append(binary.LittleEndian.AppendUint32(h, uint32(len(text))), text...)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli)), nil
}

// readHeader gives a file's settings and where its records begin.
func readHeader(r io.ReaderAt) (s Settings, end int64, err error) {
	const fixed = len(magic) + 8
	h := make([]byte, fixed)
	if _, err := r.ReadAt(h, 0); err != nil || !bytes.HasPrefix(h, []byte(magic)) {
		return s, 0, fmt.Errorf("%w: it does not begin as one does", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint32(h[len(magic):]); v != version {
		return s, 0, fmt.Errorf("%w: it has version %d, and this program reads %d", ErrDamaged, v, version)
	}
	n := int(binary.LittleEndian.Uint32(h[len(magic)+4:]))
	if n > 1<<16 {
		return s, 0, fmt.Errorf("%w: its header has a length of %d", ErrDamaged, n)
	}
	h = append(h, make([]byte, n+4)...)
	if _, err := r.ReadAt(h, 0); err != nil {
		return s, 0, fmt.Errorf("%w: its header is cut off", ErrDamaged)
	}
	text := h[:fixed+n]
	if binary.LittleEndian.Uint32(h[fixed+n:]) != crc32.Checksum(text, castagnoli) {
		return s, 0, fmt.Errorf("%w: its header's checksum is wrong", ErrDamaged)
	}
	if err := json.Unmarshal(text[fixed:], &s); err != nil {
		return s, 0, fmt.Errorf("%w: its header: %w", ErrDamaged, err)
	}
	return s, int64(len(h)), s.check()
}

// place is where a sequence's block lies. There may be millions.
type place struct {
	sequence, off int64
	length, sum   uint32
}

// end is where the next record begins.
func (p place) end() int64 { return p.off + int64(p.length) }

// readPlace reads the record's head at off of a file of that size; false is one that is not there, or not as it was written.
func readPlace(r io.ReaderAt, off, size int64) (place, bool) {
	var h [recordBytes]byte
	if _, err := r.ReadAt(h[:], off); err != nil {
		return place{}, false
	}
	p := place{
		length: binary.LittleEndian.Uint32(h[:]), sequence: int64(binary.LittleEndian.Uint64(h[4:])),
		sum: binary.LittleEndian.Uint32(h[16:]), off: off + recordBytes,
	}
	return p, crc32.Checksum(h[:12], castagnoli) == binary.LittleEndian.Uint32(h[12:]) && p.end() <= size
}

// block reads the block of a record, in buf if it fits there.
func (p place) block(r io.ReaderAt, buf []byte) ([]byte, error) {
	if cap(buf) < int(p.length) {
		buf = make([]byte, p.length)
	}
	buf = buf[:p.length]
	if _, err := r.ReadAt(buf, p.off); err != nil {
		return buf, err
	}
	if crc32.Checksum(buf, castagnoli) != p.sum {
		return buf, fmt.Errorf("%w: the checksum of sequence %d is wrong", ErrDamaged, p.sequence)
	}
	return buf, nil
}

// record makes the record of a sequence.
func record(sequence int64, plain []byte) []byte {
	block := snappy.Encode(nil, plain)
	h := binary.LittleEndian.AppendUint32(make([]byte, 0, recordBytes+len(block)), uint32(len(block)))
	h = binary.LittleEndian.AppendUint64(h, uint64(sequence))
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(block, castagnoli))
	return append(h, block...)
}

// fileSize is the size of an open file.
func fileSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
