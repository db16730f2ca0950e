package blockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

const blocks = 6

// write appends blocks up to n and gives the file's bytes.
func write(t *testing.T, path string, n int) []byte {
	t.Helper()
	w, err := Append(path, []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	for i := w.Blocks(); i < n; i++ {
		if err := w.Write(uint64(i), blockOf(i)); err != nil {
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
		if b, err := r.Block(i, nil); err != nil || !bytes.Equal(b, blockOf(i)) {
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
	list := []int64{r.end}
	for i := range r.blocks {
		list = append(list, r.blocks[i].at+int64(r.blocks[i].length))
	}
	list[0] = r.blocks[0].at - headerBytes
	return list
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
	if err := errors.Join(w.Truncate(99), w.Truncate(2), w.Close()); err != nil {
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
	for cut := range end[0] { // within the head
		path := filepath.Join(dir, "head")
		if err := os.WriteFile(path, whole[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes of a head: %v, want damage", cut, err)
		}
		if got := write(t, path, 0); !bytes.Equal(got, whole[:end[0]]) {
			t.Errorf("%d bytes of a head: begun again it is %x", cut, got)
		}
	}
	for cut := end[0]; cut < int64(len(whole)); cut++ {
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, int64(len(whole))-cut)} {
			path := filepath.Join(dir, name)
			text := append(bytes.Clone(whole[:cut]), tail...)
			left := 0
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
			if err != nil {
				t.Fatalf("%s at byte %d: %v", name, cut, err)
			}
			good := 0
			for good < r.Blocks() {
				if _, err := r.Block(good, nil); err != nil {
					if !errors.Is(err, ErrDamaged) {
						t.Fatal(err)
					}
					break
				}
				good++
			}
			if good != left || name == "cut" && (r.Blocks() != left || r.Torn != cut-end[left]) {
				t.Errorf("%s at byte %d: %d blocks, %d of them good, and a tail of %d bytes, want %d and %d", name, cut, r.Blocks(), good, r.Torn, left, cut-end[left])
			}
			r.Close()
			w, err := Append(path, nil)
			if err != nil || w.Blocks() != left || w.Cut != int64(len(text))-end[left] {
				t.Fatalf("%s at byte %d: going on, %v", name, cut, err)
			}
			for i := left; i < blocks; i++ {
				if err := w.Write(uint64(i), blockOf(i)); err != nil {
					t.Fatal(err)
				}
			}
			w.f.Close() // without Sync, of which there would be a thousand
			if got := read(t, path); !bytes.Equal(got, whole) {
				t.Errorf("%s at byte %d: going on gave another file", name, cut)
			}
		}
	}
}

// TestDamage changes every byte in every file that a bit can change: whoever reads it all notices, at its place, and whoever goes on
// writes it anew.
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
			if int64(at) < end[0] {
				if _, e := Append(path, nil); !errors.Is(err, ErrDamaged) || !errors.Is(e, ErrDamaged) {
					t.Fatalf("byte %d of the head: %v, going on: %v", at, err, e)
				}
				continue
			}
			if err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
			hit := 0
			for end[hit+1] <= int64(at) {
				hit++
			}
			for i := range r.Blocks() {
				if b, err := r.Block(i, nil); (i == hit) != errors.Is(err, ErrDamaged) || i != hit && !bytes.Equal(b, blockOf(i)) {
					t.Fatalf("byte %d: block %d is %x (%v)", at, i, b, err)
				}
			}
			if r.Blocks() <= hit && (r.Blocks() != hit || r.Torn != int64(len(whole))-end[hit]) {
				t.Fatalf("byte %d: %d blocks and %d bytes after them", at, r.Blocks(), r.Torn)
			}
			r.Close()
			w, err := Append(path, nil)
			if err != nil || w.Blocks() != hit || w.Cut != int64(len(whole))-end[hit] {
				t.Fatalf("byte %d: going on: %v", at, err)
			}
			w.f.Close() // without Sync, of which there would be a thousand
		}
	}
}

// TestOneWriter: a second writer is refused while there is one, by name, and a reader is not.
func TestOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	w, err := Append(path, []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Append(path, []byte("head")); err == nil || !strings.Contains(err.Error(), path+": another process is adding to it") {
		t.Errorf("a second writer: %v", err)
	}
	if err := Remove(path); err == nil || !strings.Contains(err.Error(), path+": another process is adding to it") {
		t.Errorf("removed while somebody writes: %v", err)
	}
	if err := w.Write(3, blockOf(0)); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil || r.Blocks() != 1 || r.Key(0) != 3 {
		t.Errorf("a reader meanwhile: %+v, %v", r, err)
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if w, err = Append(path, nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := Remove(path); err != nil {
		t.Error(err)
	}
	if err := Remove(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
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
	whole[r.blocks[4].at] ^= 4
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Block(4, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want damage", err)
	}
	if _, err := r.Block(3, nil); err != nil {
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
			if err := w.Write(uint64(i), fmt.Append(nil, i*i)); err != nil {
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
	last, err := r.Block(r.Blocks()-1, nil)
	fmt.Printf("%s: %d blocks, the last is %s %v\n", r.Head, r.Blocks(), last, err)
	// Output: squares: 5 blocks, the last is 16 <nil>
}
