package corpus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"saltern/model/token"
)

// Set is a prepared corpus, open for reading. All methods of it and its streams may be called at the same time.
type Set struct {
	Dir      string
	Manifest *Manifest
	Train    *Stream
	HeldOut  *Stream
}

// Open opens the folder that Prepare made, after a check of the manifest and of the sizes and headers of all shards.
func Open(dir string) (*Set, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	s := &Set{Dir: dir, Manifest: m}
	if s.Train, err = openStream(dir, m, m.Train); err != nil {
		return nil, err
	}
	if s.HeldOut, err = openStream(dir, m, m.HeldOut); err != nil {
		return nil, errors.Join(err, s.Train.close())
	}
	return s, nil
}

// Close closes the shards.
func (s *Set) Close() error { return errors.Join(s.Train.close(), s.HeldOut.close()) }

// Tokenizer loads the tokenizer that made the ids.
func (s *Set) Tokenizer() (*token.Tokenizer, error) {
	path := filepath.Join(s.Dir, tokenizerName)
	tok, err := token.Load(path)
	if err != nil {
		return nil, err
	}
	if tok.Hash() != s.Manifest.TokenizerHash {
		return nil, fmt.Errorf("%s is not the tokenizer that made the shards beside it: delete the folder and prepare it again", path)
	}
	return tok, nil
}

// Verify reads all shards and the tokenizer and compares their sums with the manifest.
func (s *Set) Verify() error {
	if _, err := s.Tokenizer(); err != nil {
		return err
	}
	for _, part := range []Part{s.Manifest.Train, s.Manifest.HeldOut} {
		for _, shard := range part.Shards {
			path := filepath.Join(s.Dir, shard.Name)
			sum, err := sumFile(path)
			if err != nil {
				return err
			}
			if sum != shard.SHA256 {
				return fmt.Errorf("shard %s is damaged: its SHA-256 is %s, and was %s: delete the folder and prepare it again", path, sum, shard.SHA256)
			}
		}
	}
	return nil
}

// Stream is the ids of one part of the split, all shards in a row.
type Stream struct {
	files []*os.File
	ends  []int64 // ends[i]: of shard i, in the stream
	width int     // bytes of an id
	vocab uint32
}

func openStream(dir string, m *Manifest, part Part) (*Stream, error) {
	s := &Stream{width: m.TokenBytes, vocab: uint32(m.VocabSize)}
	end := int64(0)
	for _, shard := range part.Shards {
		f, err := os.Open(filepath.Join(dir, shard.Name))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("a shard cannot be opened: %w", err), s.close())
		}
		s.files = append(s.files, f)
		if err := checkHeader(f, m.TokenBytes, shard.Tokens); err != nil {
			return nil, errors.Join(fmt.Errorf("shard %s is damaged: %w: delete the folder and prepare it again", f.Name(), err), s.close())
		}
		end += shard.Tokens
		s.ends = append(s.ends, end)
	}
	return s, nil
}

func (s *Stream) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Len is the number of tokens.
func (s *Stream) Len() int64 {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

// Sequences is the number of whole sequences of T tokens and one more; what is left over at the end is not used.
func (s *Stream) Sequences(T int) int64 {
	if T < 1 {
		return 0
	}
	return max(0, s.Len()-1) / int64(T)
}

// Sequence copies sequence i into dst, which has T+1 elements: dst[:T] are inputs, dst[1:] their labels.
func (s *Stream) Sequence(i int64, dst []uint32) error {
	T := len(dst) - 1
	if n := s.Sequences(T); i < 0 || i >= n {
		return fmt.Errorf("there is no sequence %d: the stream of %d tokens has %d sequences of %d", i, s.Len(), n, T)
	}
	return s.Tokens(i*int64(T), dst)
}

// Tokens copies the ids from token number at on into dst.
func (s *Stream) Tokens(at int64, dst []uint32) error {
	if at < 0 || at+int64(len(dst)) > s.Len() {
		return fmt.Errorf("there are no tokens %d to %d: the stream has %d", at, at+int64(len(dst)), s.Len())
	}
	buf := make([]byte, len(dst)*s.width)
	for shard := sort.Search(len(s.ends), func(i int) bool { return s.ends[i] > at }); len(dst) > 0; shard++ {
		start := int64(0)
		if shard > 0 {
			start = s.ends[shard-1]
		}
		n := min(int64(len(dst)), s.ends[shard]-at)
		part := buf[:n*int64(s.width)]
		if _, err := s.files[shard].ReadAt(part, headerBytes+(at-start)*int64(s.width)); err != nil {
			return fmt.Errorf("a shard cannot be read: %w", err)
		}
		for i := range n {
			if s.width == 2 {
				dst[i] = uint32(binary.LittleEndian.Uint16(part[2*i:]))
			} else {
				dst[i] = binary.LittleEndian.Uint32(part[4*i:])
			}
			// The model would read beyond its embedding.
			if dst[i] >= s.vocab {
				return fmt.Errorf("shard %s is damaged: token %d is %d, in a vocabulary of %d: delete the folder and prepare it again",
					s.files[shard].Name(), at-start+i, dst[i], s.vocab)
			}
		}
		dst, at = dst[n:], at+n
	}
	return nil
}

// Batch fills ids and labels, both [B*T], with the samples first to first+B-1 of the order: labels[b*T+t] is the token after ids[b*T+t].
func (s *Stream) Batch(order Order, first int64, B, T int, ids, labels []uint32) error {
	if B < 0 || T < 1 || len(ids) != B*T || len(labels) != B*T {
		return fmt.Errorf("bug: a batch of %d sequences of %d tokens does not fit %d ids and %d labels", B, T, len(ids), len(labels))
	}
	if n := s.Sequences(T); order.Only == nil && order.Sequences != n {
		return fmt.Errorf("bug: the order is one of %d sequences, and the stream has %d of %d tokens", order.Sequences, n, T)
	}
	sequence := make([]uint32, T+1)
	for b := range B {
		if err := s.Sequence(order.At(first+int64(b)), sequence); err != nil {
			return err
		}
		copy(ids[b*T:], sequence[:T])
		copy(labels[b*T:], sequence[1:])
	}
	return nil
}
