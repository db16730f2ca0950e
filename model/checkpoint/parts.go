package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"saltern/model/safetensors"
)

// partsDir is where parts wait beside the checkpoints until one takes them in.
const partsDir = ".parts"

var partPattern = regexp.MustCompile(`^rank_(0|[1-9][0-9]{0,8})\.safetensors$`)

func partName(rank int) string { return fmt.Sprintf("rank_%d.safetensors", rank) }

// WritePart writes what a rank has of its own for the next checkpoint under root, which Contents.Parts then takes in. Ranks may do so
// at once. It replaces a part that no checkpoint took.
func WritePart(ctx context.Context, root string, rank int, tensors []safetensors.Tensor) (FileSum, error) {
	return writePart(ctx, osFiles{}, root, rank, tensors)
}

func writePart(ctx context.Context, fs filesystem, root string, rank int, tensors []safetensors.Tensor) (FileSum, error) {
	dir := filepath.Join(root, partsDir)
	if err := fs.mkdirAll(dir); err != nil {
		return FileSum{}, err
	}
	path := filepath.Join(dir, partName(rank))
	if err := fs.removeAll(path); err != nil {
		return FileSum{}, err
	}
	sum, err := writeFile(ctx, fs, path, func(w io.Writer) error { return safetensors.Write(w, tensors, nil) })
	if err == nil {
		err = fs.syncDir(dir)
	}
	if err != nil {
		return FileSum{}, explain(root, fmt.Errorf("writing rank %d's part of a checkpoint: %w", rank, err))
	}
	return sum, nil
}

// takeParts moves parts into a checkpoint's folder.
func takeParts(fs filesystem, root, dir string, parts []FileSum) error {
	for _, p := range parts {
		if err := fs.rename(filepath.Join(root, partsDir, p.Name), filepath.Join(dir, p.Name)); err != nil {
			return err
		}
	}
	return nil
}

// Part opens what a rank had of its own; [os.ErrNotExist] is wrapped where there is no such part.
func (c *Checkpoint) Part(rank int) (*safetensors.File, error) {
	f, err := safetensors.Open(filepath.Join(c.Dir, partName(rank)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s has no part of rank %d: %w", c.Dir, rank, err)
	}
	return f, err
}
