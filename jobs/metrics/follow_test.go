package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A run is written, stopped, and goes on from an earlier step, while somebody follows it.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	f := Follow(dir)
	if _, _, err := f.Poll(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before the run: %v", err)
	}
	expect := func(when string, first, last, n int, wantAnew bool) {
		t.Helper()
		records, anew, err := f.Poll()
		if err != nil || len(records) != n || anew != wantAnew {
			t.Fatalf("%s: %d records, anew %v, %v", when, len(records), anew, err)
		}
		if n > 0 && (records[0].Step != first || records[n-1].Step != last) {
			t.Errorf("%s: steps %d to %d", when, records[0].Step, records[n-1].Step)
		}
	}
	run(t, dir, 0, 4)
	expect("at first", 1, 4, 6, false)
	expect("nothing new", 0, 0, 0, false)
	run(t, dir, 4, 6)
	expect("two steps more", 5, 6, 3, false)
	run(t, dir, 2, 3)
	expect("cut back", 1, 3, 4, true)

	// Cut back, and longer than before by the time somebody looks.
	w, err := Open(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	for step := 3; step < 9; step++ {
		r := record(step)
		r.Values[TokensPerSec] = 17
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	expect("cut back and grown", 1, 8, 9, true)

	// A line comes in two parts.
	path := filepath.Join(dir, Name)
	text := content(t, dir)
	add := func(more string) {
		text += more
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	add(`{"step":9,`)
	expect("half a line", 0, 0, 0, false)
	add("\"tokens\":1}\n")
	expect("the other half", 9, 9, 1, false)
	add("nonsense\n")
	if _, _, err := f.Poll(); err == nil {
		t.Error("nonsense was read")
	}
}
