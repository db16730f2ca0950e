package checkpoint

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"saltern/model/safetensors"
)

// Contents is what a checkpoint holds.
type Contents struct {
	Weights   []safetensors.Tensor // under the names that Hugging Face gives them
	Optimizer []safetensors.Tensor
	Config    []byte // config.json
	Tokenizer []byte // tokenizer.json
	Data      any    // the data loader's position, anything that encoding/json takes
	State     any    // whatever else is needed to go on: random seeds, loss scale, stage, ...

	Parts []FileSum // what ranks have of their own, by WritePart
}

// Keep says which checkpoints a write leaves.
type Keep struct {
	Newest int  // so many, those that were pinned not counted; 0: all
	This   bool // pins the one that is written: no later write removes it
	Good   int  // a step up to which the run is known to be right: the newest checkpoint up to there is kept too; 0: unknown
}

// Write writes a checkpoint under root, makes `latest` name it, and removes those that are not to be kept.
// It returns the new checkpoint's folder. If that is not empty, the checkpoint is in place and durable even where the error is
// not nil: then old ones could not be removed. If it is empty, the write failed and the older checkpoints are as they were. A
// canceled context ends the write at the next buffer, but never between the rename and `latest`.
func Write(ctx context.Context, root string, step int, c Contents, keep Keep) (string, error) {
	return write(ctx, osFiles{}, root, step, c, keep)
}

func write(ctx context.Context, fs filesystem, root string, step int, c Contents, keep Keep) (string, error) {
	dir, err := save(ctx, fs, root, step, c, keep.This)
	if err != nil {
		return "", explain(root, fmt.Errorf("writing the checkpoint of step %d: %w", step, err))
	}
	if err := prune(fs, root, keep, filepath.Base(dir)); err != nil {
		return dir, fmt.Errorf("the checkpoint of step %d is written, but old ones could not be removed: %w", step, err)
	}
	return dir, nil
}

// explain adds to an error what the user can do and what is left.
func explain(root string, err error) error {
	remedy := ""
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		remedy = "; free some space, or keep fewer checkpoints"
	}
	if old, listErr := List(root); listErr == nil && len(old) > 0 {
		return fmt.Errorf("%w%s; the checkpoint %s is intact", err, remedy, old[0].Dir)
	}
	return fmt.Errorf("%w%s; there is no earlier checkpoint", err, remedy)
}

func save(ctx context.Context, fs filesystem, root string, step int, c Contents, pinned bool) (string, error) {
	if step < 0 || step >= 1e15 {
		return "", fmt.Errorf("bug: step %d is not a number of steps", step)
	}
	if err := prepareRoot(fs, root); err != nil {
		return "", err
	}
	name, err := freeName(root, step)
	if err != nil {
		return "", err
	}
	temp := tempPath(root, name)
	if err := fill(ctx, fs, root, temp, c, Manifest{Format: formatVersion, Step: step, Pinned: pinned}); err != nil {
		_ = fs.removeAll(temp) // what cannot be removed now is removed by the next write
		return "", err
	}
	dir := filepath.Join(root, name)
	if err := fs.rename(temp, dir); err != nil {
		_ = fs.removeAll(temp)
		return "", err
	}
	if err := fs.syncDir(root); err != nil {
		return "", err
	}
	return dir, setLatest(fs, root, name)
}

// prepareRoot makes the root if need be and removes what a crash left in it.
func prepareRoot(fs filesystem, root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		if err := fs.mkdirAll(root); err != nil {
			return err
		}
		return fs.syncDir(filepath.Dir(root))
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			// NFS keeps a file that another node has open under another name, and the folder with it. That must not cost
			// us this checkpoint; names of temporary folders never repeat.
			_ = fs.removeAll(filepath.Join(root, e.Name()))
		}
	}
	return nil
}

// freeName returns the first revision of the step's name that is not there. What is in view is not replaced: two renames are
// not atomic, and between them a crash would leave neither.
func freeName(root string, step int) (string, error) {
	for o := (order{step: step}); ; o.revision++ {
		_, err := os.Lstat(filepath.Join(root, o.name()))
		if errors.Is(err, os.ErrNotExist) {
			return o.name(), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func tempPath(root, name string) string {
	return filepath.Join(root, tempPrefix+name+"-"+rand.Text()[:8])
}

// fill makes the folder with all its files, durable; m is completed.
func fill(ctx context.Context, fs filesystem, root, dir string, c Contents, m Manifest) error {
	var err error
	if m.Data, err = json.Marshal(c.Data); err != nil {
		return fmt.Errorf("bug: the data position: %w", err)
	}
	if m.State, err = json.Marshal(c.State); err != nil {
		return fmt.Errorf("bug: the state: %w", err)
	}
	if err := fs.mkdir(dir); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{weightsFile, func(w io.Writer) error { return safetensors.Write(w, c.Weights, nil) }},
		{optimizerFile, func(w io.Writer) error { return safetensors.Write(w, c.Optimizer, nil) }},
		{configFile, func(w io.Writer) error { _, err := w.Write(c.Config); return err }},
		{tokenizerFile, func(w io.Writer) error { _, err := w.Write(c.Tokenizer); return err }},
	} {
		sum, err := writeFile(ctx, fs, filepath.Join(dir, f.name), f.write)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, sum)
	}
	if err := takeParts(fs, root, dir, c.Parts); err != nil {
		return err
	}
	m.Files = append(m.Files, c.Parts...)
	if m.Sum, err = m.sum(); err != nil {
		return fmt.Errorf("bug: the manifest: %w", err)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("bug: the manifest: %w", err)
	}
	if _, err := writeFile(ctx, fs, filepath.Join(dir, manifestFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	}); err != nil {
		return err
	}
	return fs.syncDir(dir)
}

// writeFile writes a new file, makes it durable, and returns its size and hash. Network file systems report a full disk as
// late as in Sync or Close, so both count.
func writeFile(ctx context.Context, fs filesystem, path string, write func(io.Writer) error) (FileSum, error) {
	f, err := fs.create(path)
	if err != nil {
		return FileSum{}, err
	}
	h := hashWriter{ctx: ctx, w: f, hash: sha256.New()}
	buf := bufio.NewWriterSize(&h, 1<<20)
	err = write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", filepath.Base(path), err) // the system's errors hold the whole path
	}
	return FileSum{filepath.Base(path), h.size, hex.EncodeToString(h.hash.Sum(nil))}, nil
}

// hashWriter sums up what passes to w, until the context ends.
type hashWriter struct {
	ctx  context.Context
	w    io.Writer
	hash hash.Hash
	size int64
}

func (h *hashWriter) Write(p []byte) (int, error) {
	if err := context.Cause(h.ctx); err != nil {
		return 0, err
	}
	n, err := h.w.Write(p)
	h.hash.Write(p[:n])
	h.size += int64(n)
	return n, err
}

// setLatest replaces the file `latest`. The work is complete by now, so no context ends it.
func setLatest(fs filesystem, root, name string) error {
	temp := tempPath(root, latestFile)
	_, err := writeFile(context.Background(), fs, temp, func(w io.Writer) error {
		_, err := io.WriteString(w, name+"\n")
		return err
	})
	if err == nil {
		err = fs.rename(temp, filepath.Join(root, latestFile))
	}
	if err != nil {
		_ = fs.removeAll(temp)
		return fmt.Errorf("%s is complete, but `latest` cannot be made to name it: %w", name, err)
	}
	return fs.syncDir(root)
}

// prune removes all complete checkpoints but those that are to be kept, pinned ones and the one that `latest` names. Incomplete ones are left alone:
// only damage from outside makes them, and somebody may want to look. A checkpoint leaves view by a rename first, so that a
// crash cannot leave half of one.
func prune(fs filesystem, root string, keep Keep, latest string) error {
	if keep.Newest <= 0 {
		return nil
	}
	list, err := List(root)
	if err != nil {
		return err
	}
	good := newestUpTo(list, keep.Good)
	list = slices.DeleteFunc(list, func(c *Checkpoint) bool { return c.Pinned })
	for _, c := range list[min(keep.Newest, len(list)):] {
		name := filepath.Base(c.Dir)
		if name == latest || c == good {
			continue
		}
		temp := tempPath(root, name)
		if err := fs.rename(c.Dir, temp); err != nil {
			return err
		}
		if err := fs.removeAll(temp); err != nil {
			return err
		}
	}
	return nil
}
