// Package ref is the living definition of every operation: plain float64 loops, nothing clever, nothing shared with the
// fast path. The tests, the tuner and doctor hold the kernels against it.
//
// Functions take tensors and plain numbers and overwrite their outputs. Shapes are the caller's business; package
// compute checks them at record time.
package ref

// Tensor is a dense row-major array. Token ids are held as whole numbers.
type Tensor struct {
	Shape []int
	Data  []float64
}

// New is a tensor of zeros.
func New(shape ...int) Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return Tensor{shape, make([]float64, n)}
}
