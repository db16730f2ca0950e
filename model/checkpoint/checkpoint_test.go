package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"saltern/model/safetensors"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the files in testdata")

// contents are recognisable by their step in every file.
func contents(step int) Contents {
	tensor := func(name string, n int) safetensors.Tensor {
		return safetensors.Tensor{Name: name, Shape: []int{n}, Read: func() ([]float32, error) {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(step + i)
			}
			return v, nil
		}}
	}
	return Contents{
		Weights:   []safetensors.Tensor{tensor("model.norm.weight", 4), tensor("lm_head.weight", 20)},
		Optimizer: []safetensors.Tensor{tensor("lm_head.weight.m", 20)},
		Config:    fmt.Appendf(nil, `{"step": %d}`, step),
		Tokenizer: fmt.Appendf(nil, `{"tokenizer": %d}`, step),
		Data:      map[string]any{"shard": "a<b>&\u2028.bin", "sequence": int64(1)<<60 + 1},
		State:     map[string]any{"scale": 65536.0, "step": step},
	}
}

// check verifies that c is contents(step), whole.
func check(t *testing.T, c *Checkpoint, step int) {
	t.Helper()
	want := contents(step)
	if c.Step != step {
		t.Fatalf("step %d, want %d", c.Step, step)
	}
	for _, f := range []struct {
		name string
		want []safetensors.Tensor
	}{{weightsFile, want.Weights}, {optimizerFile, want.Optimizer}} {
		file, err := safetensors.Open(filepath.Join(c.Dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, w := range f.want {
			got, err := file.Float32(w.Name, nil)
			values, _ := w.Read()
			if err != nil || !slices.Equal(got, values) {
				t.Errorf("%s: %v, %v", w.Name, got, err)
			}
		}
	}
	config, err := c.Config()
	tokenizer, err2 := c.Tokenizer()
	if err != nil || err2 != nil || !bytes.Equal(config, want.Config) || !bytes.Equal(tokenizer, want.Tokenizer) {
		t.Errorf("config %s, tokenizer %s, %v, %v", config, tokenizer, err, err2)
	}
	var data struct {
		Shard    string
		Sequence int64
	}
	if err := json.Unmarshal(c.Data, &data); err != nil || data.Shard != "a<b>&\u2028.bin" || data.Sequence != 1<<60+1 {
		t.Errorf("data %s, %v", c.Data, err)
	}
	var state struct {
		Scale float64
		Step  int
	}
	if err := json.Unmarshal(c.State, &state); err != nil || state.Scale != 65536 || state.Step != step {
		t.Errorf("state %s, %v", c.State, err)
	}
}

func mustWrite(t *testing.T, root string, step, keep int) string {
	t.Helper()
	dir, err := Write(context.Background(), root, step, contents(step), Keep{Newest: keep})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustOpen(t *testing.T, path string, step int) {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	check(t, c, step)
}

func newRoot(t *testing.T) string { return filepath.Join(t.TempDir(), "run", "root") }

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	root := newRoot(t)
	dir := mustWrite(t, root, 400, 0)
	if want := filepath.Join(root, "step_00000400"); dir != want {
		t.Errorf("folder %s, want %s", dir, want)
	}
	mustOpen(t, root, 400)
	mustOpen(t, dir, 400)
	moved := filepath.Join(t.TempDir(), "teacher") // checkpoints are copied about under other names
	if err := os.CopyFS(moved, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, moved, 400)
}

func TestKeep(t *testing.T) {
	root := newRoot(t)
	for _, step := range []int{100, 200, 300, 400} {
		mustWrite(t, root, step, 3)
	}
	want := []string{"latest", "step_00000200", "step_00000300", "step_00000400"}
	if got := names(t, root); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	list, err := List(root)
	if err != nil || len(list) != 3 || list[0].Step != 400 || list[2].Step != 200 {
		t.Errorf("List: %v, %v", list, err)
	}
	// A run resumed at 200 saves 250: the oldest of four, and yet the one to keep.
	mustWrite(t, root, 250, 1)
	want = []string{"latest", "step_00000250", "step_00000400"}
	if got := names(t, root); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	mustOpen(t, root, 250)
}

// TestPinned: a checkpoint that is pinned stays whatever is written after it, beside as many others as are kept.
func TestPinned(t *testing.T) {
	root := newRoot(t)
	mustWrite(t, root, 100, 2)
	if _, err := Write(context.Background(), root, 200, contents(200), Keep{Newest: 2, This: true}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{300, 400, 500} {
		mustWrite(t, root, step, 2)
	}
	want := []string{"latest", "step_00000200", "step_00000400", "step_00000500"}
	if got := names(t, root); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	mustOpen(t, root, 500)
	mustOpen(t, filepath.Join(root, "step_00000200"), 200)
	if list, _ := List(root); len(list) != 3 || list[0].Pinned || !list[2].Pinned {
		t.Errorf("List: %v", list)
	}
}

func TestStepTwice(t *testing.T) {
	root := newRoot(t)
	first := mustWrite(t, root, 400, 2)
	second := mustWrite(t, root, 400, 2)
	if want := filepath.Join(root, "step_00000400.1"); second != want {
		t.Errorf("folder %s, want %s", second, want)
	}
	mustOpen(t, first, 400)
	if list, _ := List(root); len(list) != 2 || list[0].Dir != second {
		t.Errorf("List: %v", list)
	}
}

func TestNoLatest(t *testing.T) {
	root := newRoot(t)
	mustWrite(t, root, 100, 0)
	mustWrite(t, root, 200, 0)
	broken := mustWrite(t, root, 300, 0)
	if err := errors.Join(os.Remove(filepath.Join(root, latestFile)), os.Remove(filepath.Join(broken, weightsFile))); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, root, 200)
}

func TestNone(t *testing.T) {
	empty := t.TempDir()
	for _, path := range []string{empty, filepath.Join(empty, "absent")} {
		if _, err := Open(path); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want ErrNone that names %s", err, path)
		}
		if list, err := List(path); len(list) > 0 || err != nil {
			t.Errorf("List: %v, %v", list, err)
		}
	}
}

func TestBadLatest(t *testing.T) {
	for _, text := range []string{"", "step_00000300\n", "../root/step_00000200\n", "\x00\x00\x00\x00"} {
		root := newRoot(t)
		dir := mustWrite(t, root, 200, 0)
		if err := os.WriteFile(filepath.Join(root, latestFile), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(root); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), dir) {
			t.Errorf("latest %q: %v, want ErrCorrupt that names %s", text, err, dir)
		}
	}
}

func TestDamage(t *testing.T) {
	root := newRoot(t)
	before := mustWrite(t, root, 300, 0)
	dir := mustWrite(t, root, 400, 0)
	whole, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantManifest, _ := json.Marshal(whole.Manifest)
	fails := func(what, name string, err error) {
		t.Helper()
		for _, want := range []string{filepath.Join(dir, name), "use the previous checkpoint, " + before} {
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), want) {
				t.Fatalf("%s: %v, want ErrCorrupt that says %q", what, err, want)
			}
		}
	}
	for _, name := range append(listedFiles, manifestFile) {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 0x20 // also turns letters into the other case, which encoding/json takes for the same key
			put(bad)
			c, err := Open(root)
			if name == manifestFile && err == nil {
				if got, _ := json.Marshal(c.Manifest); bytes.Equal(got, wantManifest) {
					continue // white space or the case of a key
				}
			}
			fails(fmt.Sprintf("%s, byte %d", name, i), name, err)
			if name != manifestFile && !strings.Contains(err.Error(), "SHA-256") {
				t.Errorf("%v does not give the hashes", err)
			}
		}
		for _, n := range []int{0, len(good) / 2, len(good) - 2} {
			put(good[:n])
			_, err := Open(root)
			fails(fmt.Sprintf("%s cut to %d bytes", name, n), name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err = Open(root)
		fails(name+" missing", name, err)
		if _, err = Open(dir); !errors.Is(err, ErrCorrupt) && name != manifestFile {
			t.Errorf("%s missing: %v", name, err)
		}
		put(good)
	}
	mustOpen(t, root, 400)
	if _, err := Open(before); err != nil {
		t.Error(err)
	}
}

func TestNewerFormat(t *testing.T) {
	root := newRoot(t)
	dir := mustWrite(t, root, 1, 0)
	path := filepath.Join(dir, manifestFile)
	b, _ := os.ReadFile(path)
	if err := os.WriteFile(path, bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 2`), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(root); err == nil || !strings.Contains(err.Error(), "newer saltern") {
		t.Errorf("%v", err)
	}
}

// The order of operations is what makes a checkpoint survive a power cut; the transcript shows it.
func TestOperations(t *testing.T) {
	root := newRoot(t)
	var got strings.Builder
	for _, step := range []int{100, 200} {
		fs := &faultyFiles{}
		if _, err := write(context.Background(), fs, root, step, contents(step), Keep{Newest: 1}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "# step %d, keep 1\n%s\n", step, strings.Join(fs.log, "\n"))
	}
	const path = "testdata/operations.txt"
	if *rewrite {
		if err := os.WriteFile(path, []byte(got.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got.String() != string(want) {
		t.Errorf("%v\ngot\n%s\nwant\n%s\n(go test -rewrite)", err, got.String(), want)
	}
}

// A process killed in operation n, for every n, with older checkpoints there and without, and when the step was there before.
func TestKilledAtEveryOperation(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []int
		step   int
		steps  []int // what may stand there afterwards; 0: nothing
	}{
		{"first", nil, 300, []int{0, 300}},
		{"later", []int{100, 200}, 300, []int{200, 300}},
		{"same step", []int{100, 300}, 300, []int{300}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := map[int]bool{}
			for at := 1; ; at++ {
				root := newRoot(t)
				for _, step := range c.before {
					mustWrite(t, root, step, 0)
				}
				fs := &faultyFiles{at: at, err: errKilled, dead: true}
				_, err := write(context.Background(), fs, root, c.step, contents(c.step), Keep{Newest: 1})
				if fs.n < at {
					if err != nil {
						t.Fatal(err)
					}
					break // there are no more operations
				}
				step := 0
				switch got, err := Open(root); {
				case err == nil:
					step = got.Step
					check(t, got, step)
				case !errors.Is(err, ErrNone):
					t.Fatalf("%v: %v", fs, err)
				}
				if !slices.Contains(c.steps, step) {
					t.Fatalf("%v: step %d", fs, step)
				}
				seen[step] = true
				mustWrite(t, root, 400, 1)
				if got := names(t, root); !slices.Equal(got, []string{"latest", "step_00000400"}) {
					t.Fatalf("%v: the next write leaves %v", fs, got)
				}
			}
			if len(seen) != len(c.steps) {
				t.Errorf("outcomes %v, want each of %v", seen, c.steps)
			}
		})
	}
}

// The disk is full from operation n on but the process lives: it says so, cleans up, and the old checkpoint stands.
func TestDiskFull(t *testing.T) {
	full := 0
	for at := 1; ; at++ {
		root := newRoot(t)
		old := mustWrite(t, root, 200, 0)
		fs := &faultyFiles{at: at, err: syscall.ENOSPC}
		dir, err := write(context.Background(), fs, root, 300, contents(300), Keep{Newest: 0})
		if fs.n < at {
			break
		}
		op := fs.log[at-1]
		if err == nil {
			t.Fatalf("%v: no error", fs)
		}
		if dir != "" || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%v: %s, %v", fs, dir, err)
		}
		if strings.HasPrefix(op, "write") {
			full++
			_, path, _ := strings.Cut(op, " ")
			for _, want := range []string{path, "step 300", "free some space", "is intact"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: error %q does not say %q", fs, err, want)
				}
			}
		}
		mustOpen(t, old, 200)
		for _, name := range names(t, root) {
			if strings.HasPrefix(name, tempPrefix) {
				t.Errorf("%v: %s is left", fs, name)
			}
		}
	}
	if full != len(listedFiles)+2 {
		t.Errorf("%d files met the full disk", full)
	}
}

func TestPruneFails(t *testing.T) {
	root := newRoot(t)
	mustWrite(t, root, 100, 0)
	fs := &faultyFiles{}
	if _, err := write(context.Background(), fs, root, 200, contents(200), Keep{Newest: 1}); err != nil {
		t.Fatal(err)
	}
	fs = &faultyFiles{at: len(fs.log), err: syscall.EACCES} // the last operation, a removal
	dir, err := write(context.Background(), fs, root, 300, contents(300), Keep{Newest: 1})
	if err == nil || dir == "" {
		t.Fatalf("%q, %v; want the folder and an error", dir, err)
	}
	mustOpen(t, root, 300)
}

func TestCanceled(t *testing.T) {
	root := newRoot(t)
	mustWrite(t, root, 100, 0)
	ctx, cancel := context.WithCancel(context.Background())
	c := contents(200)
	c.Optimizer[0].Read = func() ([]float32, error) { cancel(); return make([]float32, 20), nil }
	if _, err := Write(ctx, root, 200, c, Keep{Newest: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := names(t, root); !slices.Equal(got, []string{"latest", "step_00000100"}) {
		t.Errorf("left %v", got)
	}
}

func TestReadFails(t *testing.T) {
	boom := errors.New("device lost")
	c := contents(1)
	c.Weights[1].Read = func() ([]float32, error) { return nil, boom }
	_, err := Write(context.Background(), newRoot(t), 1, c, Keep{Newest: 1})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "lm_head.weight") {
		t.Errorf("%v", err)
	}
}
