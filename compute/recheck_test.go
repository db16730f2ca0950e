package compute

import (
	"context"
	"strings"
	"testing"

	"saltern/compute/ref"
)

// TestRecheck: kernels that are right pass once more, and one that does not compute what its reference does is named.
func TestRecheck(t *testing.T) {
	d := openTest(t)
	tuner, err := NewTuner(d, "")
	if err != nil {
		t.Fatal(err)
	}
	d.Choose = tuner.Choose
	r := NewRecorder()
	a, b := NewTensor(State, "a", F32, 8, 16), NewTensor(State, "b", F32, 8, 16)
	r.Add(a, b)
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if wrong, err := tuner.Recheck(context.Background(), p); err != nil || wrong != "" {
		t.Errorf("%q, %v", wrong, err)
	}
	other := *p.Nodes[0].Op // the same kernels with another meaning are wrong kernels
	right := other.Ref
	other.Ref = func(in, out []ref.Tensor, attr any) {
		right(in, out, attr)
		out[0].Data[0]++
	}
	p.Nodes[0].Op = &other
	if wrong, err := tuner.Recheck(context.Background(), p); err != nil || !strings.HasPrefix(wrong, other.Name+"/") {
		t.Errorf("%q, %v", wrong, err)
	}
}
