package labels

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// TestCoder: what a student gets at once has the bits of what it would read from a file, whatever that has learned of its teacher.
func TestCoder(t *testing.T) {
	for _, form := range []string{Sample, TopK} {
		s := settings(form, 9, 700, 64)
		path := filepath.Join(t.TempDir(), "labels")
		var sequences []int64
		for i := range int64(100) { // of 64 tokens: two counts lie between them
			sequences = append(sequences, i)
		}
		write(t, path, s, sequences...)
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.eras) != 3 {
			t.Fatalf("%s: %d eras, want 3", form, len(f.eras))
		}
		c, err := NewCoder(s)
		if err != nil {
			t.Fatal(err)
		}
		stored, sent := New(s.Sequence, s.Count), New(s.Sequence, s.Count)
		for _, i := range sequences {
			code, err := c.Encode([]byte("before"), invented(rand.New(rand.NewPCG(uint64(i), 5)), s, s.Sequence))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Decode(code[len("before"):], sent); err != nil {
				t.Fatal(err)
			}
			if err := f.Sequence(i, stored); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(sent.IDs, stored.IDs) || !slices.Equal(sent.Q, stored.Q) || !slices.Equal(sent.Tail, stored.Tail) || !slices.Equal(sent.Stats, stored.Stats) {
				t.Fatalf("%s: sequence %d arrives with other bits", form, i)
			}
		}
		if err := c.Decode([]byte("nothing"), sent); err == nil {
			t.Errorf("%s: nonsense was read", form)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewCoder(Settings{}); err == nil {
		t.Error("settings of nothing were taken")
	}
}
