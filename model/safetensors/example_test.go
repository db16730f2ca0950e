package safetensors_test

import (
	"bytes"
	"fmt"

	"saltern/model/safetensors"
)

func Example() {
	var file bytes.Buffer
	err := safetensors.Write(&file, []safetensors.Tensor{{
		Name: "model.norm.weight", Shape: []int{3},
		Read: func() ([]float32, error) { return []float32{1, 2, 3}, nil },
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := safetensors.NewFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Float32("model.norm.weight", nil))
	// Output: [1 2 3] <nil>
}
