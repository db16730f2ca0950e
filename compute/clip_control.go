package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opClipControl = &Op{
	Name: "clip_control", Doc: "control = {scale min(1, clip/(norm+1e-6)), 1, norm, 0} or {0, 0, norm, 0} if norm is not finite; norm = scale sqrt(sum part)",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 2 || !in[0].Shape.Equal(Shape{4}) || len(in[1].Shape) != 1 {
			return nil, fmt.Errorf("wants params [4] and partial sums [P]")
		}
		return []Shape{{4}}, nil
	},
	Kernels: formKernels(func(n *Node) int { return n.In[1].Len() }, func(n *Node, l *Limits, f form) []Launch {
		return []Launch{f.launch(l, "clip_control", 1, nil, words(n.In[1].Len()), n.In[0], n.In[1], n.Out[0])}
	}),
	Ref:    func(in, out []ref.Tensor, _ any) { ref.ClipControl(in[0].Data, in[1].Data, out[0].Data) },
	NoGrad: "the optimizer is not trained through",
	Cost:   func(n *Node) (int64, int64) { return int64(n.In[1].Len()), elementBytes * int64(n.In[1].Len()) },
	Tol:    1e-6,
	Cases: []Case{
		{Why: "a single sum", In: []Shape{{4}, {1}}},
		{Why: "as many sums as one bucket has", In: []Shape{{4}, {64}}},
		{Why: "sums of a billion elements", In: []Shape{{4}, {61056}}},
	},
	Random: func(rng *rand.Rand) Case { return Case{In: []Shape{{4}, {randomWidth(rng, 500)}}} },
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) {
		in[0].Data[0], in[0].Data[1] = 0.5, float64(rng.IntN(3)) // clip 0 switches clipping off
		for i, v := range in[1].Data {
			in[1].Data[i] = v * v
		}
	},
}

// GradNorm records the norm over all gradients together and what the optimizer is to do with it. params is a Host tensor
// [4]: {scale by which gradients are multiplied first, clip norm (0: none), 0, 0}. control [4] becomes
// {multiplier for the gradients, 1 if the norm is finite else 0, norm, 0}; a norm beyond about 1.8e19 before the scale
// counts as not finite, since its square is not a float32.
func (r *Recorder) GradNorm(control, params *Tensor, grads []*Tensor) {
	total := 0
	for _, g := range grads {
		total += squaresParts(g.Len())
	}
	parts, at := r.Temp("squares", total), 0
	for len(grads) > 0 {
		size, n, k := 0, 0, 0 // of those that one node takes
		for k < len(grads) && (k == 0 || k < squaresInputs && size+grads[k].Len() <= squaresTogether) {
			size, n, k = size+grads[k].Len(), n+squaresParts(grads[k].Len()), k+1
		}
		r.Record("sum_squares", nil, grads[:k:k], parts.Rows(at, at+n))
		grads, at = grads[k:], at+n
	}
	r.Record("clip_control", nil, []*Tensor{params, parts}, control)
}
