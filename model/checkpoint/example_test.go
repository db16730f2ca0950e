package checkpoint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"saltern/model/checkpoint"
	"saltern/model/safetensors"
)

func Example() {
	run, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(run)
	root := filepath.Join(run, "checkpoints")

	norm := safetensors.Tensor{Name: "model.norm.weight", Shape: []int{2},
		Read: func() ([]float32, error) { return []float32{1, 2}, nil }}
	_, err = checkpoint.Write(context.Background(), root, 400, checkpoint.Contents{
		Weights: []safetensors.Tensor{norm},
		Config:  []byte("{}"), Tokenizer: []byte("{}"),
		State: map[string]int{"skipped": 1},
	}, checkpoint.Keep{Newest: 3})
	if err != nil {
		fmt.Println(err)
		return
	}

	c, err := checkpoint.Open(root)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filepath.Base(c.Dir), c.Step)
	// Output: step_00000400 400
}
