package labels

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"saltern/distill/blockfile"
)

// TestGolden holds the bytes of a file against what it was: files must be read by every later version.
func TestGolden(t *testing.T) {
	for form, want := range map[string]string{
		Sample: "e4d00cdfd35dcc1e",
		TopK:   "c8457c214d25024c",
	} {
		path := filepath.Join(t.TempDir(), "labels")
		write(t, path, settings(form, 20, 5000, 64), 2, 5)
		checkGolden(t, form, path, want)
	}
	path := filepath.Join(t.TempDir(), "labels")
	counted(t, path)
	checkGolden(t, "with counts", path, "9776a3325916bfd2")
}

func checkGolden(t *testing.T, what, path, want string) {
	t.Helper()
	sum := sha256.Sum256(read(t, path))
	if got := hex.EncodeToString(sum[:8]); got != want {
		t.Errorf("%s: the file's checksum is %s, want %s: raise the version where the format changes", what, got, want)
	}
}

// TestTornTail cuts a file at every byte: what is whole stays, the rest is made again, and the bytes are those of a file that was
// written in one go.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	s, ids := settings(Sample, 5, 100, 4), []int64{4, 2, 9}
	whole := filepath.Join(dir, "whole")
	write(t, whole, s, ids...)
	want := read(t, whole)
	h := read(t, begun(t, s))
	path := filepath.Join(dir, "torn")
	for cut := len(h); cut < len(want); cut++ {
		if err := os.WriteFile(path, want[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		there := f.Len()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		w := write(t, path, s, ids...)
		if got := read(t, path); !bytes.Equal(got, want) {
			t.Fatalf("cut at %d, gone on with: %d bytes, want %d, or others", cut, len(got), len(want))
		}
		if (w.Cut == 0) != (int64(cut) == int64(len(h)) || there > 0 && w.Cut == 0) || there == len(ids) {
			t.Fatalf("cut at %d: %d sequences, %d bytes removed", cut, there, w.Cut)
		}
	}
}

// TestEveryByteIsChecked changes every byte in turn: nobody reads labels that were not written, and who goes on makes them anew.
func TestEveryByteIsChecked(t *testing.T) {
	dir := t.TempDir()
	s, ids := settings(TopK, 5, 100, 4), []int64{4, 2, 9}
	whole := filepath.Join(dir, "whole")
	write(t, whole, s, ids...)
	want := read(t, whole)
	h := read(t, begun(t, s))
	path, l := filepath.Join(dir, "flipped"), New(4, 5)
	for at := range want {
		data := bytes.Clone(want)
		data[at] ^= 0x10
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if at < len(h) {
			if !errors.Is(err, blockfile.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("byte %d of the header: %v", at, err)
			}
			if _, err := Append(path, s); !errors.Is(err, blockfile.ErrDamaged) || !strings.Contains(err.Error(), "move it away") {
				t.Fatalf("byte %d of the header: going on: %v", at, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, i := range ids {
			switch err := f.Sequence(i, l); {
			case errors.Is(err, blockfile.ErrDamaged), errors.Is(err, ErrMissing):
				failed++
			case err != nil:
				t.Fatal(err)
			default:
				same(t, s, l, invented(rand.New(rand.NewPCG(uint64(i), 5)), s, 4))
			}
		}
		if failed == 0 {
			t.Fatalf("byte %d was changed, and nobody saw it", at)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if w := write(t, path, s, ids...); w.Cut == 0 || !bytes.Equal(read(t, path), want) {
			t.Fatalf("byte %d: not made anew, %d bytes were removed", at, w.Cut)
		}
	}
}

// TestAppendRefuses: a file belongs to its settings, and to one writer.
func TestAppendRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels")
	s := settings(Sample, 5, 100, 4)
	w, err := Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Append(path, s); err == nil || !strings.Contains(err.Error(), "another process is adding to it") {
		t.Errorf("a second writer: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	other := s
	other.Teacher = "xyz"
	if _, err := Append(path, other); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("another teacher: %v", err)
	}
	if other.Key() == s.Key() || len(s.Key()) != 8 {
		t.Errorf("keys %s and %s", s.Key(), other.Key())
	}
	if err := os.WriteFile(path, []byte("no labels"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, blockfile.ErrDamaged) {
		t.Errorf("another file: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// begun is a file without sequences.
func begun(t *testing.T, s Settings) string {
	path := filepath.Join(t.TempDir(), "begun")
	write(t, path, s)
	return path
}

// counted writes a file that counts its ids twice, and says which sequences it has and where the counts are.
func counted(t *testing.T, path string) (s Settings, sequences, counts []int64) {
	s = settings(Sample, 3, 90, 128)
	w, err := Append(path, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range countFirst*countAgain/s.Sequence + 3 {
		before, blocks, sequence := w.Bytes(), w.Blocks(), int64(i^1)
		if err := w.Add(sequence, invented(rand.New(rand.NewPCG(uint64(sequence), 5)), s, s.Sequence)); err != nil {
			t.Fatal(err)
		}
		if w.Blocks() == blocks+2 {
			counts = append(counts, before)
		}
		sequences = append(sequences, sequence)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return s, sequences, counts
}

// TestCounts: what is written after a file counted its ids is read by their ranks, what was written before as it was; whoever
// goes on after a kill near a count writes the same bytes; and where a count is damaged, what came before it is left.
func TestCounts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "labels")
	s, sequences, counts := counted(t, path)
	want := read(t, path)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.eras) != 3 || len(counts) != 2 || f.Len() != len(sequences) {
		t.Fatalf("%d eras, %d counts, %d sequences of %d", len(f.eras), len(counts), f.Len(), len(sequences))
	}
	l := New(s.Sequence, s.Count)
	for _, i := range sequences {
		if err := f.Sequence(i, l); err != nil {
			t.Fatal(err)
		}
		same(t, s, l, invented(rand.New(rand.NewPCG(uint64(i), 5)), s, s.Sequence))
	}
	other := filepath.Join(dir, "other")
	for k, at := range counts {
		for cut := at - 30; cut < at+300; cut += 17 {
			if err := os.WriteFile(other, want[:cut], 0o666); err != nil {
				t.Fatal(err)
			}
			write(t, other, s, sequences...)
			if !bytes.Equal(read(t, other), want) {
				t.Fatalf("cut at %d, near count %d: gone on with, it has other bytes", cut, k)
			}
		}
		data := bytes.Clone(want)
		data[at+40] ^= 4 // beyond its header
		if err := os.WriteFile(other, data, 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(other)
		if err != nil {
			t.Fatal(err)
		}
		first := countFirst
		if k == 1 {
			first *= countAgain
		}
		for i, sequence := range sequences {
			err := f.Sequence(sequence, l)
			if lost := i >= first/s.Sequence && (k == 1 || i < countFirst*countAgain/s.Sequence); lost != errors.Is(err, blockfile.ErrDamaged) || !lost && err != nil {
				t.Fatalf("count %d damaged, sequence number %d: %v", k, i, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if write(t, other, s, sequences...); !bytes.Equal(read(t, other), want) {
			t.Fatalf("count %d was damaged, and not made anew", k)
		}
	}
}

// TestOlderVersion: a file of another version is refused with what to do.
func TestOlderVersion(t *testing.T) {
	path, s := filepath.Join(t.TempDir(), "labels"), settings(Sample, 5, 100, 4)
	text, err := json.Marshal(head{version - 1, s})
	if err != nil {
		t.Fatal(err)
	}
	w, err := blockfile.Append(path, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, opened := Open(path)
	_, appended := Append(path, s)
	for _, err := range []error{opened, appended} {
		if err == nil || !strings.Contains(err.Error(), "version is 2, and this program reads 3; move it away, and they are made anew") {
			t.Errorf("%v", err)
		}
	}
}

// FuzzDecode: whatever a block holds, decoding it ends in an error or in labels that can be written again, and leaves nothing behind.
func FuzzDecode(f *testing.F) {
	s := settings(Sample, 5, 100, 4)
	for _, form := range []string{Sample, TopK} {
		s.Form = form
		block, err := newCodec(s, inOrder(s.Vocab)).encode(nil, invented(rand.New(rand.NewPCG(1, 1)), s, s.Sequence))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(block, form == TopK)
		for i := range block {
			block := bytes.Clone(block)
			block[i] ^= byte(1 << (i % 8))
			f.Add(block, form == TopK)
		}
	}
	f.Fuzz(func(t *testing.T, block []byte, topK bool) {
		s := s
		if s.Form = Sample; topK {
			s.Form = TopK
		}
		octaves := make([]uint8, s.Vocab)
		for i := range octaves {
			octaves[i] = uint8(i % 7)
		}
		c, set, l := newCodec(s, byOctave(octaves)), newSorter(s.Vocab), New(s.Sequence, s.Count)
		if err := c.decode(block, l, set); err == nil && !topK {
			if again, err := c.encode(nil, l); err != nil || !bytes.Equal(again, block) {
				t.Errorf("%x decodes as labels that are written as %x, %v", block, again, err)
			}
		}
		if n := set.drain(make([]uint32, s.Vocab), make([]float32, s.Vocab)); n > 0 {
			t.Errorf("%d ids were left behind", n)
		}
		if r, err := decodeRanks(block, s.Vocab); err == nil && len(r.order) != s.Vocab {
			t.Errorf("ranks of %d ids", len(r.order))
		}
	})
}
