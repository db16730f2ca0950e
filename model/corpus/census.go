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
	unused verdict = iota
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
	trainBytes int64
	verdicts   map[key]verdict
}

// entry is a distinct document.
type entry struct {
	key  key
	size int64
}

// take counts the documents of the sources, and decides for each what is done with it. progress is given bytes on disk.
func (c *Config) census(ctx context.Context, sources []source, progress func(done int64)) (*census, error) {
	found := &census{verdicts: map[key]verdict{}}
	var entries []entry
	r := reader{cfg: c}
	for _, s := range sources {
		err := r.read(s, func(doc []byte) error {
			switch k := keyOf(doc); {
			case isBlank(doc):
				found.empty++
			case has(found.verdicts, k):
				found.duplicates++
			default:
				found.verdicts[k] = unused
				entries = append(entries, entry{k, int64(len(doc))})
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
	if len(entries) == 0 {
		return nil, fmt.Errorf("the corpus is empty: %s named %d files, of which %d are not text, and the others hold %d empty documents; name files with text in them",
			quoted(c.Sources), len(sources), found.binary, found.empty)
	}
	return found, c.decide(found, entries)
}

// decide fills in the verdicts of all entries.
func (c *Config) decide(found *census, entries []entry) error {
	if c.MaxBytes > 0 {
		slices.SortFunc(entries, func(a, b entry) int {
			return cmp.Or(cmp.Compare(a.key.pick, b.key.pick), cmp.Compare(a.key.split, b.key.split))
		})
		room := c.MaxBytes
		all := len(entries)
		entries = slices.DeleteFunc(entries, func(e entry) bool {
			if e.size > room {
				return true
			}
			room -= e.size
			return false
		})
		found.unused = int64(all - len(entries))
		if len(entries) == 0 {
			return fmt.Errorf("max_bytes = %d is less than each of the %d documents that %s hold; raise it, or set document_bytes to cut long documents",
				c.MaxBytes, all, quoted(c.Sources))
		}
	}
	if len(entries) == 1 {
		return fmt.Errorf("the corpus is a single document of %d bytes, and a part must be held out from training to measure the loss on; "+
			"set separator to what ends a document in it, or document_bytes to cut it into documents of that length", entries[0].size)
	}
	// A small corpus may have no document below the bound, or none above; then it moves to the lowest or below the highest.
	bound, low, high := uint64(c.HeldOut*math.MaxUint64), uint64(math.MaxUint64), uint64(0)
	for _, e := range entries {
		low, high = min(low, e.key.split), max(high, e.key.split)
	}
	bound = min(max(bound, low), high-1)
	for _, e := range entries {
		if e.key.split <= bound {
			found.verdicts[e.key] = heldOut
		} else {
			found.verdicts[e.key] = train
			found.trainBytes += e.size
		}
	}
	return nil
}

func has(m map[key]verdict, k key) bool {
	_, ok := m[k]
	return ok
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
	seen := make(map[key]struct{}, len(found.verdicts))
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
			v, known := found.verdicts[k]
			if !known {
				return errChanged(s)
			}
			if _, twice := seen[k]; twice || v == unused {
				return nil
			}
			seen[k] = struct{}{}
			return fn(k, v, i, doc)
		})
		if errors.Is(err, errBinary) {
			err = errChanged(s)
		}
		if err != nil {
			return err
		}
	}
	used := 0
	for k, v := range found.verdicts {
		if _, ok := seen[k]; ok || v == unused {
			used++
		}
	}
	if used != len(found.verdicts) {
		return fmt.Errorf("%d documents have gone while the corpus was being prepared; prepare again when nothing writes to the sources", len(found.verdicts)-used)
	}
	return nil
}
