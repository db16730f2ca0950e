package labels

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
		Sample: "a2009fcc31f5a159",
		TopK:   "3444603df57acaa0",
	} {
		path := filepath.Join(t.TempDir(), "labels")
		write(t, path, settings(form, 20, 5000, 64), 2, 5)
		sum := sha256.Sum256(read(t, path))
		if got := hex.EncodeToString(sum[:8]); got != want {
			t.Errorf("%s: the file's checksum is %s, want %s: raise the version where the format changes", form, got, want)
		}
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
