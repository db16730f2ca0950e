package compute

import "testing"

func TestLayerNormGradient(t *testing.T) {
	x, g, b := NewTensor(State, "x", F32, 67, 5), NewTensor(State, "g", F32, 5), NewTensor(State, "b", F32, 5)
	gradientOf(t, []*Tensor{x, g, b}, func(r *Recorder) *Tensor {
		h := r.Add(x, x)
		return r.Add(h, r.LayerNorm(h, g, b, 0.1)) // a residual, as in a layer
	}, nil)
}

func TestQKNormGradient(t *testing.T) {
	x, gq, gk := NewTensor(State, "x", F32, 35, 18), NewTensor(State, "gq", F32, 3), NewTensor(State, "gk", F32, 3)
	gradientOf(t, []*Tensor{x, gq, gk}, func(r *Recorder) *Tensor {
		return r.QKNorm(r.Add(x, x), gq, gk, QKNorm{3, 1, 0.1})
	}, nil)
}
