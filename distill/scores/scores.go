// Package scores keeps what a small language model thinks of text: the loss and the rank of every token, at 2.5 bytes a token or a
// little less, so that a selection of sequences can be made, and made anew by another rule, without asking the model again.
//
// The rule is distill.Select; who computes the numbers is model.Scorer; when is decided in jobs. How the file survives a kill is
// distill/blockfile.
//
//	w, err := scores.Append(path, scores.Head{Sequence: T, Settings: text})
//	for first := w.Sequences(); first < len(candidates); first += w.Head.Block { err = w.Write(batch) }
//
//	f, err := scores.Open(path)
//	err = f.Each(n, func(s scores.Sequence) error { ... })     the first n, in the order of writing
//	s, err := f.Sequence(id)
//
// A block, whose key is the first id of it, holds Head.Block sequences, the last one maybe fewer: their ids as varints, then one plane for each part of the codes
// (see code.go), since like bytes side by side compress: ranks, the upper 8 bits of the losses, the lower 4 of two losses in a byte.
//
// Invariant: the bytes depend on the numbers alone, not on when a pass was stopped (TestResume).
package scores

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"saltern/distill/blockfile"
)

// Sequence is what is known of one sequence's T tokens.
type Sequence struct {
	ID   int64
	Loss []float32 // -log q(y), nats
	Rank []uint32  // how many tokens are likelier than y; read back, the smallest rank of the same code
}

// Head stands at the beginning of a file.
type Head struct {
	Sequence int    `json:"sequence"` // T, tokens of a sequence
	Block    int    `json:"block"`    // sequences of a block
	Settings string `json:"settings"` // all that decides the numbers, in the caller's words
}

// blockTokens is about how many tokens a block holds: a kill costs at most so many.
const blockTokens = 16384

// BlockSequences is how many sequences of T tokens a block holds.
func BlockSequences(T int) int { return max(1, blockTokens/T) }

// File is an open file of scores.
type File struct {
	Head Head

	blocks *blockfile.File
	ids    []int64 // in the order of writing
}

// Open opens a file for reading.
func Open(path string) (*File, error) {
	b, err := blockfile.Open(path)
	if err != nil {
		return nil, damaged(err)
	}
	f, err := read(b)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return f, nil
}

// damaged says what to do about an error, if it is one about damage that a new pass does not find by itself.
func damaged(err error) error {
	if errors.Is(err, blockfile.ErrDamaged) {
		return fmt.Errorf("%w; remove it and score again", err)
	}
	return err
}

func read(b *blockfile.File) (*File, error) {
	f := &File{blocks: b}
	if err := json.Unmarshal(b.Head, &f.Head); err != nil || f.Head.Sequence < 1 || f.Head.Block < 1 {
		return nil, damaged(fmt.Errorf("%s: it does not begin as a file of scores: %w", b.Name(), blockfile.ErrDamaged))
	}
	for i := range b.Blocks() {
		text, err := f.text(i)
		if err != nil {
			return nil, err
		}
		ids, _, ok := split(text, f.Head.Sequence)
		if !ok || len(ids) > f.Head.Block || len(ids) < f.Head.Block && i < b.Blocks()-1 {
			return nil, f.wrong(i)
		}
		f.ids = append(f.ids, ids...)
	}
	return f, nil
}

// Sequences is how many sequences there are.
func (f *File) Sequences() int { return len(f.ids) }

// Bytes is the size of the file on disk, up to its last whole block.
func (f *File) Bytes() int64 { return f.blocks.Bytes() }

// Torn says that the file ends in a block that is not whole.
func (f *File) Torn() bool { return f.blocks.Torn > 0 }

// Close closes the file.
func (f *File) Close() error { return f.blocks.Close() }

// Each calls fn with the first n sequences, in the order in which they were written.
func (f *File) Each(n int, fn func(s Sequence) error) error {
	for i := range f.blocks.Blocks() {
		list, err := f.block(i)
		if err != nil {
			return err
		}
		for j, s := range list {
			if i*f.Head.Block+j >= n {
				return nil
			}
			if err := fn(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sequence is what is known of the sequence with that id.
func (f *File) Sequence(id int64) (Sequence, error) {
	place := slices.Index(f.ids, id) // a millisecond for a million; who wants all of them takes Each
	if place < 0 {
		return Sequence{}, fmt.Errorf("sequence %d was not scored", id)
	}
	list, err := f.block(place / f.Head.Block)
	if err != nil {
		return Sequence{}, err
	}
	return list[place%f.Head.Block], nil
}

func (f *File) block(i int) ([]Sequence, error) {
	b, err := f.text(i)
	if err != nil {
		return nil, err
	}
	list, ok := decode(b, f.Head.Sequence)
	if !ok {
		return nil, f.wrong(i)
	}
	return list, nil
}

// text is a block as it was before compression.
func (f *File) text(i int) ([]byte, error) {
	b, err := f.blocks.Block(i, nil)
	if errors.Is(err, blockfile.ErrDamaged) {
		return nil, fmt.Errorf("%w; run saltern score, which makes it and what follows anew", err)
	}
	return b, err
}

// wrong is the error for a block whose checksum is right, and whose content is not.
func (f *File) wrong(i int) error {
	return damaged(fmt.Errorf("%s: block %d does not hold up to %d sequences of %d tokens: %w", f.blocks.Name(), i, f.Head.Block, f.Head.Sequence, blockfile.ErrDamaged))
}

// Writer appends scores to a file.
type Writer struct {
	*File
	blocks *blockfile.Writer
}

// Append opens a file to go on after its last good block, and makes it where it is not there. The head of a file that is there
// stays: compare its Settings.
func Append(path string, head Head) (*Writer, error) {
	head.Block = BlockSequences(head.Sequence)
	text, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("bug: the head of a file of scores: %w", err)
	}
	b, err := blockfile.Append(path, text)
	if err != nil {
		return nil, damaged(err)
	}
	f, err := read(b.File)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &Writer{f, b}, nil
}

// Cut is how many bytes were cut off since they were not as they had been written, or came after such.
func (w *Writer) Cut() int64 { return w.blocks.Cut }

// Reopen cuts off the last block where it is not full, so that more sequences can follow: blocks begin at the same places whether a
// pass was made at once or continued later with more.
func (w *Writer) Reopen() error {
	full := len(w.ids) / w.Head.Block
	w.ids = w.ids[:full*w.Head.Block]
	return w.blocks.Truncate(full)
}

// Write appends a block of sequences: Head.Block of them, or fewer, and then no more can follow.
func (w *Writer) Write(list []Sequence) error {
	if len(list) == 0 || len(list) > w.Head.Block || len(w.ids)%w.Head.Block != 0 {
		return fmt.Errorf("bug: a block of %d sequences after %d, in blocks of %d", len(list), len(w.ids), w.Head.Block)
	}
	b, err := encode(list, w.Head.Sequence)
	if err != nil {
		return err
	}
	if err := w.blocks.Write(uint64(list[0].ID), b); err != nil {
		return err
	}
	for _, s := range list {
		w.ids = append(w.ids, s.ID)
	}
	return nil
}

// Sync puts what was written on the disk.
func (w *Writer) Sync() error { return w.blocks.Sync() }

// Close puts what was written on the disk and closes the file.
func (w *Writer) Close() error { return w.blocks.Close() }

// encode is a block before compression.
func encode(list []Sequence, T int) ([]byte, error) {
	n := len(list) * T
	planes := make([]byte, 2*n+(n+1)/2)
	ranks, high, low := planes[:n], planes[n:2*n], planes[2*n:]
	b := binary.AppendUvarint(nil, uint64(len(list)))
	for i, s := range list {
		if len(s.Loss) != T || len(s.Rank) != T {
			return nil, fmt.Errorf("bug: sequence %d has %d losses and %d ranks, of %d tokens", s.ID, len(s.Loss), len(s.Rank), T)
		}
		b = binary.AppendUvarint(b, uint64(s.ID))
		for j, loss := range s.Loss {
			if x := float64(loss); math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("token %d of sequence %d has a loss of %g", j, s.ID, loss)
			}
			at, code := i*T+j, lossCode(loss)
			ranks[at], high[at] = rankCode(s.Rank[j]), uint8(code>>4)
			low[at/2] |= uint8(code&15) << (4 * (at % 2))
		}
	}
	return append(b, planes...), nil
}

// split takes a block apart into the ids and the planes; false where the bytes are none of encode's.
func split(b []byte, T int) (ids []int64, planes []byte, ok bool) {
	count, used := binary.Uvarint(b)
	if used <= 0 || count == 0 || count > uint64(len(b)) {
		return nil, nil, false
	}
	ids = make([]int64, count)
	for i := range ids {
		b = b[used:]
		var id uint64
		if id, used = binary.Uvarint(b); used <= 0 {
			return nil, nil, false
		}
		ids[i] = int64(id)
	}
	n := len(ids) * T
	return ids, b[used:], len(b)-used == 2*n+(n+1)/2
}

// decode is the inverse of encode, up to the precision of the codes.
func decode(b []byte, T int) ([]Sequence, bool) {
	ids, planes, ok := split(b, T)
	if !ok {
		return nil, false
	}
	n := len(ids) * T
	ranks, high, low := planes[:n], planes[n:2*n], planes[2*n:]
	loss, rank := make([]float32, n), make([]uint32, n)
	for i := range n {
		loss[i] = losses[int(high[i])<<4|int(low[i/2]>>(4*(i%2))&15)]
		rank[i] = lowestRank(ranks[i])
	}
	list := make([]Sequence, len(ids))
	for i, id := range ids {
		list[i] = Sequence{id, loss[i*T : (i+1)*T], rank[i*T : (i+1)*T]}
	}
	return list, true
}
