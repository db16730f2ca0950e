package labels

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/golang/snappy"
)

// File is open for reading. Its methods may be called at the same time.
type File struct {
	Settings
	f      *os.File
	places []place // ascending by sequence
	size   int64
	codec  *codec
	buffer sync.Pool // of *scratch
}

// scratch is what one read needs.
type scratch struct{ block, plain []byte }

// Open reads where each sequence lies; blocks are checked when they are read. What a process that was killed left half written at the
// end counts as not there.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the soft labels cannot be read: %w", err)
	}
	l := &File{f: f}
	if err := l.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w; move it away, and they are made anew", path, err), f.Close())
	}
	l.codec = newCodec(l.Settings)
	l.buffer.New = func() any { return &scratch{} }
	return l, nil
}

func (l *File) index() (err error) {
	off := int64(0)
	if l.Settings, off, err = readHeader(l.f); err != nil {
		return err
	}
	if l.size, err = fileSize(l.f); err != nil {
		return err
	}
	for {
		p, ok := readPlace(l.f, off, l.size)
		if !ok {
			break
		}
		l.places = append(l.places, p)
		off = p.end()
	}
	l.size = off
	slices.SortFunc(l.places, func(a, b place) int { return int(a.sequence - b.sequence) })
	return nil
}

// Close closes the file.
func (l *File) Close() error { return l.f.Close() }

// Len is the number of sequences.
func (l *File) Len() int { return len(l.places) }

// Bytes is what they take, header and index included.
func (l *File) Bytes() int64 { return l.size }

func (l *File) find(sequence int64) (place, bool) {
	i, ok := slices.BinarySearchFunc(l.places, sequence, func(p place, s int64) int { return int(p.sequence - s) })
	if !ok {
		return place{}, false
	}
	return l.places[i], true
}

// Has says whether the sequence is there.
func (l *File) Has(sequence int64) bool {
	_, ok := l.find(sequence)
	return ok
}

// Sequence reads a sequence into the T tokens of into. One that is not there is an ErrMissing.
func (l *File) Sequence(sequence int64, into *Labels) error {
	p, ok := l.find(sequence)
	if !ok {
		return fmt.Errorf("%w of sequence %d in %s, which holds %d others; run: saltern label", ErrMissing, sequence, l.f.Name(), len(l.places))
	}
	if len(into.Tail) != l.Settings.Sequence || len(into.IDs) != l.Settings.Sequence*l.Count {
		return fmt.Errorf("bug: room for %d tokens and %d labels, %s has %d tokens of %d", len(into.Tail), len(into.IDs), l.f.Name(), l.Settings.Sequence, l.Count)
	}
	s := l.buffer.Get().(*scratch)
	defer l.buffer.Put(s)
	err := l.read(p, s, into)
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%s, at byte %d: %w; run saltern label, which makes what follows anew", l.f.Name(), p.off, err)
	}
	return err
}

func (l *File) read(p place, s *scratch, into *Labels) (err error) {
	if s.block, err = p.block(l.f, s.block); err != nil {
		return err
	}
	if s.plain, err = snappy.Decode(s.plain[:cap(s.plain)], s.block); err != nil {
		return fmt.Errorf("%w: sequence %d: %w", ErrDamaged, p.sequence, err)
	}
	if err := l.codec.decode(s.plain, into); err != nil {
		return fmt.Errorf("%w: sequence %d: %w", ErrDamaged, p.sequence, err)
	}
	return nil
}
