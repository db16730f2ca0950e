package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"saltern/model/safetensors"
)

func rankTensors(values ...float32) []safetensors.Tensor {
	return []safetensors.Tensor{{Name: "lost", Shape: []int{len(values)}, Read: func() ([]float32, error) { return values, nil }}}
}

// TestParts: what ranks write a checkpoint takes in and sums up, and damage there is noticed as elsewhere.
func TestParts(t *testing.T) {
	root, ctx := newRoot(t), context.Background()
	if _, err := WritePart(ctx, root, 1, rankTensors(9, 9, 9)); err != nil { // no checkpoint took it
		t.Fatal(err)
	}
	c := contents(400)
	for rank := range 2 {
		p, err := WritePart(ctx, root, rank, rankTensors(float32(rank), 3))
		if err != nil {
			t.Fatal(err)
		}
		c.Parts = append(c.Parts, p)
	}
	dir, err := Write(ctx, root, 400, c, Keep{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	check(t, whole, 400)
	for rank := range 2 {
		f, err := whole.Part(rank)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, err := f.Float32("lost", nil); err != nil || !slices.Equal(got, []float32{float32(rank), 3}) {
			t.Errorf("rank %d: %v, %v", rank, got, err)
		}
	}
	if _, err := whole.Part(2); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "has no part of rank 2") {
		t.Error(err)
	}
	if _, err := Write(ctx, root, 500, c, Keep{}); err == nil || !strings.Contains(err.Error(), dir+" is intact") {
		t.Errorf("parts were taken twice: %v", err)
	}
	path := filepath.Join(dir, partName(1))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(root); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("a flipped bit in a part: %v", err)
	}
}
