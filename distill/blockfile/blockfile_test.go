package blockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// blockOf is block number i: some that compress, some that do not, one that is empty.
func blockOf(i int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, 40*(i%3))
	for j := range i % 4 * 20 {
		b = append(b, byte(i*37+j*j*11))
	}
	return b
}

const blocks = 7

// write appends blocks up to n and gives the file's bytes.
func write(t *testing.T, path string, n int) []byte {
	t.Helper()
	w, err := Append(path, []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	for i := w.Blocks(); i < n; i++ {
		if err := w.Write(blockOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, path)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// check wants the first n blocks, whole.
func check(t *testing.T, path string, n int) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if string(r.Head) != "head" || r.Blocks() != n {
		t.Fatalf("%d blocks after %q, want %d", r.Blocks(), r.Head, n)
	}
	for i := range n {
		if b, err := r.Block(i); err != nil || !bytes.Equal(b, blockOf(i)) {
			t.Errorf("block %d is %x (%v), want %x", i, b, err, blockOf(i))
		}
	}
}

// ends are the ends of the head and of each block.
func ends(t *testing.T, path string) []int64 {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return r.start
}

func TestBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	write(t, path, 3)
	check(t, path, 3)
	atOnce := filepath.Join(t.TempDir(), "b")
	if a, b := write(t, path, blocks), write(t, atOnce, blocks); !bytes.Equal(a, b) {
		t.Error("in two goes the file is another than at once")
	}
	check(t, path, blocks)
	w, err := Append(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Cut(99), w.Cut(2), w.Close()); err != nil {
		t.Fatal(err)
	}
	check(t, path, 2)
	if _, err := Open(path + ".gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestCutAnywhere cuts the file at every byte after its head, as a kill in the middle of a write does, and then fills it with zeros
// to its old length, as a power cut may: what is whole stays, and going on gives the same bytes.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	whole := write(t, filepath.Join(dir, "whole"), blocks)
	end := ends(t, filepath.Join(dir, "whole"))
	for cut := end[0]; cut < int64(len(whole)); cut++ {
		left := 0
		for left < blocks && end[left+1] <= cut {
			left++
		}
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, int64(len(whole))-cut)} {
			path := filepath.Join(dir, name)
			text := append(bytes.Clone(whole[:cut]), tail...)
			left := left
			for left < blocks && bytes.HasPrefix(text, whole[:end[left+1]]) { // a block whose last bytes are zeros lost nothing
				left++
			}
			if left == blocks {
				continue
			}
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
			r, err := Open(path)
			if name == "zeros" && errors.Is(err, ErrDamaged) {
				// A block whose own beginning was kept and not its length cannot be told from damage.
				if in := cut - end[left]; in == 0 || in >= headerBytes {
					t.Fatalf("zeros from byte %d on: %v", cut, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s at byte %d: %v", name, cut, err)
			}
			if r.Blocks() != left || r.Torn != int64(len(text))-end[left] {
				t.Errorf("%s at byte %d: %d blocks and a tail of %d bytes, want %d and %d", name, cut, r.Blocks(), r.Torn, left, int64(len(text))-end[left])
			}
			r.Close()
			if got := write(t, path, blocks); !bytes.Equal(got, whole) {
				t.Errorf("%s at byte %d: going on gave another file", name, cut)
			}
		}
	}
}

// TestDamage changes every byte in every file that a bit can change: it is noticed, at its place.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	whole := write(t, path, blocks)
	end := ends(t, path)
	for at := range whole {
		for _, bit := range []byte{1, 0x80} {
			text := bytes.Clone(whole)
			text[at] ^= bit
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
			r, err := Open(path)
			switch {
			case int64(at) >= end[blocks-1]: // the last block may be half written
				if err == nil && r.Torn == 0 {
					t.Fatalf("byte %d: not noticed", at)
				}
			case !errors.Is(err, ErrDamaged):
				t.Fatalf("byte %d: %v, want damage", at, err)
			}
			if err == nil {
				r.Close()
			}
			if _, err := Append(path, nil); int64(at) < end[blocks-1] && !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d: appending gave %v, want damage", at, err)
			}
		}
	}
	for _, n := range []int{0, 5, 15} {
		if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v, want damage", n, err)
		}
	}
}

// TestDamageWhileOpen: what changes after the file was opened is noticed too.
func TestDamageWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	whole := write(t, path, blocks)
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	whole[r.start[5]-1] ^= 4
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Block(4); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want damage", err)
	}
	if _, err := r.Block(3); err != nil {
		t.Error(err)
	}
}

func ExampleAppend() {
	dir, err := os.MkdirTemp("", "blockfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "squares")
	for _, n := range []int{2, 5} { // the second time it goes on
		w, err := Append(path, []byte("squares"))
		if err != nil {
			fmt.Println(err)
			return
		}
		for i := w.Blocks(); i < n; i++ {
			if err := w.Write(fmt.Append(nil, i*i)); err != nil {
				fmt.Println(err)
			}
		}
		if err := w.Close(); err != nil {
			fmt.Println(err)
		}
	}
	r, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	last, err := r.Block(r.Blocks() - 1)
	fmt.Printf("%s: %d blocks, the last is %s %v\n", r.Head, r.Blocks(), last, err)
	// Output: squares: 5 blocks, the last is 16 <nil>
}
