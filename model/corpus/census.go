package corpus

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// key identifies a document by its bytes: the first 128 bits of their SHA-256. Its halves decide different things, so that no choice
// favours another: split the held-out documents, pick those that MaxBytes leaves.
type key struct{ split, pick uint64 }

func keyOf(doc []byte) key {
	h := sha256.Sum256(doc)
	return key{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])}
}

// verdict is what is done with a document.
type verdict uint8

const (
	unused verdict = 1 + iota
	train
	heldOut
)

// census is what the first reading of the sources found out.
type census struct {
	sources    []source // with text in them
	bytes      int64    // of these on disk
	binary     int
	empty      int64
	duplicates int64
	unused     int64
	trainBytes int64 // of distinct documents
	documents  documents
	shares     []float64 // how often the training text has each group's documents; nil: each once
}

// entry is a distinct document.
type entry struct {
	key   key
	size  int64
	group int // number of the entry in Config.Sources that it came by first
}

// take counts the documents of the sources, and decides for each what is done with it. progress is given bytes on disk.
func (c *Config) census(ctx context.Context, sources []source, progress func(done int64)) (*census, error) {
	found := &census{}
	split, entries := newSplit(c.HeldOut, len(c.Sources)), []entry(nil)
	r := reader{cfg: c}
	for _, s := range sources {
		err := r.read(s, func(doc []byte) error {
			switch k := keyOf(doc); {
			case isBlank(doc):
				found.empty++
			case !found.documents.add(k):
				found.duplicates++
			case c.MaxBytes > 0:
				entries = append(entries, entry{k, int64(len(doc)), s.group})
			default:
				split.add(entry{k, int64(len(doc)), s.group})
			}
			progress(r.bytes)
			return ctx.Err()
		})
		if errors.Is(err, errBinary) {
			if s.Named {
				return nil, fmt.Errorf("source %s cannot be used: %w; take it out of sources, or convert it to UTF-8 text", s.Path, err)
			}
			found.binary++
			continue
		} else if err != nil {
			return nil, err
		}
		found.sources = append(found.sources, s)
		found.bytes += s.Size
	}
	if found.documents.count == 0 {
		return nil, fmt.Errorf("the corpus is empty: %s named %d files, of which %d are not text, and the others hold %d empty documents; name files with text in them",
			quoted(c.Sources), len(sources), found.binary, found.empty)
	}
	return found, c.decide(found, split, entries)
}

// decide fills in the verdicts of all documents: of those that entries lists, and split has not seen, as many as MaxBytes takes.
func (c *Config) decide(found *census, split *split, entries []entry) error {
	if c.MaxBytes > 0 {
		slices.SortFunc(entries, func(a, b entry) int {
			return cmp.Or(cmp.Compare(a.key.pick, b.key.pick), cmp.Compare(a.key.split, b.key.split))
		})
		room := c.MaxBytes
		for _, e := range entries {
			if e.size > room {
				found.unused++
				continue
			}
			room -= e.size
			split.add(e)
			found.documents.decide(e.key, train) // or held out, as said below
		}
		if split.count == 0 {
			return fmt.Errorf("max_bytes = %d is less than each of the %d documents that %s hold; raise it, or set document_bytes to cut long documents",
				c.MaxBytes, len(entries), quoted(c.Sources))
		}
	}
	if split.count == 1 {
		return fmt.Errorf("the corpus is a single document of %d bytes, and a part must be held out from training to measure the loss on; "+
			"set separator to what ends a document in it, or document_bytes to cut it into documents of that length", split.low.size)
	}
	bound := split.end()
	taken := unused
	if c.MaxBytes > 0 {
		taken = train
	}
	found.documents.all(taken, func(k key) verdict {
		if k.split <= bound {
			return heldOut
		}
		return train
	})
	for _, n := range split.train {
		found.trainBytes += n
	}
	return c.mix(found, split.train)
}

// mix finds how often the training text is to have each group's documents, whose bytes are given, for the shares that Weights asks for.
// The text keeps its length.
func (c *Config) mix(found *census, bytes []int64) error {
	if len(c.Weights) == 0 {
		return nil
	}
	var sum float64
	for _, w := range c.Weights {
		sum += w
	}
	found.shares = make([]float64, len(bytes))
	for i, n := range bytes {
		if n == 0 {
			return fmt.Errorf("source %q has the weight %g and no text for training that an earlier source has not; take it out of sources and weights", c.Sources[i], c.Weights[i])
		}
		found.shares[i] = c.Weights[i] / sum * float64(found.trainBytes) / float64(n)
	}
	return nil
}

// split adds up the documents on either side of the bound between those that are held out and those to train on.
type split struct {
	bound     uint64
	count     int
	low, high entry   // of the lowest and highest hash
	train     []int64 // bytes above the bound, by group
}

func newSplit(heldOut float64, groups int) *split {
	return &split{bound: uint64(heldOut * math.MaxUint64), train: make([]int64, groups)}
}

func (s *split) add(e entry) {
	if s.count == 0 || e.key.split < s.low.key.split {
		s.low = e
	}
	if s.count == 0 || e.key.split > s.high.key.split {
		s.high = e
	}
	s.count++
	if e.key.split > s.bound {
		s.train[e.group] += e.size
	}
}

// end gives the highest hash that is held out. A small corpus may have no document below the bound, or none above; then the bound moves
// to the lowest or below the highest.
func (s *split) end() uint64 {
	switch {
	case s.low.key.split > s.bound:
		s.train[s.low.group] -= s.low.size
		s.bound = s.low.key.split
	case s.high.key.split <= s.bound:
		s.train[s.high.group] += s.high.size
		s.bound = s.high.key.split - 1
	}
	return s.bound
}

func isBlank(doc []byte) bool { return len(bytes.TrimSpace(doc)) == 0 }

func quoted(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}

// errChanged is the error of a source that is not what the census saw.
func errChanged(s source) error {
	return fmt.Errorf("%s changed while the corpus was being prepared; prepare again when nothing writes to the sources", s.Path)
}

// each calls fn with every document that has a verdict other than unused, once, in the order of the sources, of which from is the
// number. progress is as in census.
func (c *Config) each(ctx context.Context, found *census, progress func(done int64), fn func(k key, v verdict, from int, doc []byte) error) error {
	found.documents.rewind()
	r := reader{cfg: c}
	for i, s := range found.sources {
		err := r.read(s, func(doc []byte) error {
			progress(r.bytes)
			if err := ctx.Err(); err != nil {
				return err
			}
			if isBlank(doc) {
				return nil
			}
			k := keyOf(doc)
			switch v, again := found.documents.pass(k); {
			case v == absent:
				return errChanged(s)
			case again || v == unused:
				return nil
			default:
				return fn(k, v, i, doc)
			}
		})
		if errors.Is(err, errBinary) {
			err = errChanged(s)
		}
		if err != nil {
			return err
		}
	}
	if n := found.documents.missed(); n > 0 {
		return fmt.Errorf("%d documents have gone while the corpus was being prepared; prepare again when nothing writes to the sources", n)
	}
	return nil
}

// copies is how often the training text has a document of a source.
func (f *census) copies(k key, from int) int {
	if f.shares == nil {
		return 1
	}
	return k.copies(f.shares[f.sources[from].group])
}
