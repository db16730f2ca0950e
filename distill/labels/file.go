package labels

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"saltern/compute"
	"saltern/distill/blockfile"
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

	// DocumentMasks says that the teacher saw no more than each token's document, which begins with EndOfText.
	DocumentMasks bool   `json:"document_masks,omitempty"`
	EndOfText     uint32 `json:"end_of_text,omitempty"`
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

// ErrMissing is what the error is for a sequence that the file does not hold.
var ErrMissing = errors.New("no soft labels")

// anew is what to do about a file whose beginning is no good.
const anew = "move it away, and they are made anew"

// version is that of the codec.
const version = 3

// head is what a file begins with.
type head struct {
	Version int `json:"soft_labels"`
	Settings
}

// File is open for reading. Its methods may be called at the same time.
type File struct {
	Settings
	blocks *blockfile.File
	order  []int // blocks, ascending by sequence
	eras   eras
	reader sync.Pool // of *reader
}

// reader is memory that reading takes again and again.
type reader struct {
	buffer blockfile.Buffer
	set    *sorter
}

// Open reads where each sequence lies; blocks are checked when they are read. What a process that was killed left half written at the
// end counts as not there.
func Open(path string) (*File, error) {
	b, err := blockfile.Open(path)
	if errors.Is(err, blockfile.ErrDamaged) {
		return nil, fmt.Errorf("soft labels: %w; %s", err, anew)
	} else if err != nil {
		return nil, fmt.Errorf("the soft labels cannot be read: %w", err)
	}
	f := &File{blocks: b}
	if f.Settings, err = settingsOf(b); err == nil {
		f.eras, err = erasOf(b, f.Settings)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for i := range b.Blocks() {
		if b.Key(i) != countsKey {
			f.order = append(f.order, i)
		}
	}
	slices.SortFunc(f.order, func(i, j int) int { return cmp.Compare(b.Key(i), b.Key(j)) })
	f.reader.New = func() any { return &reader{set: newSorter(f.Vocab)} }
	return f, nil
}

// settingsOf reads the head of a file.
func settingsOf(b *blockfile.File) (Settings, error) {
	var h head
	err := json.Unmarshal(b.Head, &h)
	if err == nil && h.Version != version {
		return h.Settings, fmt.Errorf("%s: its version is %d, and this program reads %d; %s", b.Name(), h.Version, version, anew)
	}
	s := h.Settings
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return s, fmt.Errorf("%s: its head is %w: %w; %s", b.Name(), blockfile.ErrDamaged, err, anew)
	}
	return s, nil
}

// Close closes the file.
func (f *File) Close() error { return f.blocks.Close() }

// Len is the number of sequences.
func (f *File) Len() int { return len(f.order) }

// Bytes is what they take, head and index included.
func (f *File) Bytes() int64 { return f.blocks.Bytes() }

// find gives the block of a sequence.
func (f *File) find(sequence int64) (block int, ok bool) {
	i, ok := slices.BinarySearchFunc(f.order, uint64(sequence), func(block int, key uint64) int { return cmp.Compare(f.blocks.Key(block), key) })
	if !ok {
		return 0, false
	}
	return f.order[i], true
}

// Has says whether the sequence is there.
func (f *File) Has(sequence int64) bool {
	_, ok := f.find(sequence)
	return ok
}

// Sequence reads a sequence into the T tokens of into. One that is not there is an ErrMissing.
func (f *File) Sequence(sequence int64, into *Labels) error {
	i, ok := f.find(sequence)
	if !ok {
		return fmt.Errorf("%w of sequence %d in %s, which holds %d others; run: saltern label", ErrMissing, sequence, f.blocks.Name(), f.Len())
	}
	if len(into.Tail) != f.Settings.Sequence || len(into.IDs) != f.Settings.Sequence*f.Count {
		return fmt.Errorf("bug: room for %d tokens and %d labels, %s has %d tokens of %d", len(into.Tail), len(into.IDs), f.blocks.Name(), f.Settings.Sequence, f.Count)
	}
	r := f.reader.Get().(*reader)
	defer f.reader.Put(r)
	e := f.eras.of(i)
	block, err := f.blocks.Block(i, &r.buffer)
	if err = errors.Join(err, e.err); errors.Is(err, blockfile.ErrDamaged) {
		return fmt.Errorf("the soft labels of sequence %d: %w; run saltern label, which makes what follows anew", sequence, err)
	} else if err != nil {
		return err
	}
	if err := e.codec.decode(block, into, r.set); err != nil {
		return fmt.Errorf("%s: what is kept of sequence %d is %w: %w; %s", f.blocks.Name(), sequence, blockfile.ErrDamaged, err, anew)
	}
	return nil
}

// Writer adds sequences to a file, at its end only.
type Writer struct {
	*blockfile.Writer
	settings Settings
	eras     eras
	has      map[int64]bool
	plain    []byte
}

// Append opens the file to go on with it, or begins it. Every sequence that is there is read and checked; from the first that
// is not as it was written, the file is cut.
func Append(path string, s Settings) (*Writer, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("bug: %w", err)
	}
	text, err := json.Marshal(head{version, s})
	if err != nil {
		return nil, err
	}
	b, err := blockfile.Append(path, text)
	if errors.Is(err, blockfile.ErrDamaged) {
		err = fmt.Errorf("%w; %s", err, anew)
	}
	if err != nil {
		return nil, err
	}
	have, err := settingsOf(b.File)
	if err == nil && have != s {
		err = fmt.Errorf("%s was begun with other settings: %+v, now %+v; %s", path, have, s, anew)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	w := &Writer{Writer: b, settings: s, has: map[int64]bool{}}
	w.eras, err = erasOf(b.File, s)
	for _, e := range w.eras {
		err = errors.Join(err, e.err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w; %s", err, anew), b.Close())
	}
	for i := range b.Blocks() {
		if key := b.Key(i); key != countsKey {
			w.has[int64(key)] = true
		}
	}
	return w, nil
}

// Has says whether the sequence is there already.
func (w *Writer) Has(sequence int64) bool { return w.has[sequence] }

// Add writes a sequence of T tokens at the end.
func (w *Writer) Add(sequence int64, l *Labels) (err error) {
	if last := w.Blocks() - 1; due(len(w.has), w.settings.Sequence) && w.Key(last) != countsKey {
		if err := w.count(); err != nil {
			return err
		}
	}
	if w.plain, err = w.eras.of(w.Blocks()).codec.encode(w.plain[:0], l); err != nil {
		return fmt.Errorf("what the teacher says of sequence %d is no distribution: %w", sequence, err)
	}
	if err = w.Write(uint64(sequence), w.plain); err == nil {
		w.has[sequence] = true
	}
	return err
}
