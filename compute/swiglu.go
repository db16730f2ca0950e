package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opSwiGLU = &Op{
	Name: "swiglu", Doc: "y[n,f] = silu(gu[n,f]) gu[n,F+f], silu(a) = a/(1+exp(-a))",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 1 || len(in[0].Shape) != 2 || in[0].Shape[1]%2 != 0 {
			return nil, fmt.Errorf("wants gates and ups side by side, [N,2F]")
		}
		return []Shape{{in[0].Shape[0], in[0].Shape[1] / 2}}, nil
	},
	Kernels: formKernels(halfWidth, func(n *Node, l *Limits, f form) (list []Launch) {
		gu, y := n.In[0], n.Out[0]
		rows := f.rows(l, halfWidth(n), 1)
		for _, w := range windows(gu.Shape[0], gu.Shape[1], f.maxRange(l)) {
			list = append(list, f.launch(l, "swiglu", ceilDiv(w[1]-w[0], rows), nil, words(w[1]-w[0], halfWidth(n), rows), gu.Rows(w[0], w[1]), y.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, _ any) { ref.SwiGLU(in[0].Data, out[0].Data, out[0].Shape[1]) },
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		return r.Record("swiglu_grad", nil, []*Tensor{n.In[0], dy[0]})[:1]
	},
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.Out[0].Len())
		return 5 * size, 3 * elementBytes * size
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 2}}},
		{Why: "wide rows, as in a layer", In: []Shape{{3, 2048}}},
		{Why: "F odd: a row's ups start anywhere", In: []Shape{{140, 2 * 37}}},
	},
	Random: func(rng *rand.Rand) Case { return Case{In: []Shape{{1 + rng.IntN(150), 2 * randomWidth(rng, 100)}}} },
	Fill:   fillGates,
}

var opSwiGLUGrad = &Op{
	Name: "swiglu_grad", Doc: "dgu[n,f] = dy up s (1 + gate (1-s)), dgu[n,F+f] = dy gate s, s = 1/(1+exp(-gate))",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 2 || len(in[0].Shape) != 2 || len(in[1].Shape) != 2 || !in[0].Shape.Equal(Shape{in[1].Shape[0], 2 * in[1].Shape[1]}) {
			return nil, fmt.Errorf("wants gu [N,2F] and dy [N,F]")
		}
		return []Shape{in[0].Shape}, nil
	},
	Kernels: formKernels(halfWidth, func(n *Node, l *Limits, f form) (list []Launch) {
		gu, dy, dgu := n.In[0], n.In[1], n.Out[0]
		rows := f.rows(l, halfWidth(n), 1)
		for _, w := range windows(gu.Shape[0], gu.Shape[1], f.maxRange(l)) {
			list = append(list, f.launch(l, "swiglu_grad", ceilDiv(w[1]-w[0], rows), f.paired(halfWidth(n)), words(w[1]-w[0], halfWidth(n), rows),
				gu.Rows(w[0], w[1]), dy.Rows(w[0], w[1]), dgu.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref:    func(in, out []ref.Tensor, _ any) { ref.SwiGLUGrad(in[0].Data, in[1].Data, out[0].Data, in[1].Shape[1]) },
	NoGrad: "second derivatives are not needed",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[1].Len())
		return 11 * size, 5 * elementBytes * size
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 2}, {1, 1}}},
		{Why: "wide rows, as in a layer", In: []Shape{{3, 2048}, {3, 1024}}},
		{Why: "F odd: a row's ups start anywhere", In: []Shape{{140, 2 * 37}, {140, 37}}},
	},
	Random: func(rng *rand.Rand) Case {
		n, f := 1+rng.IntN(150), randomWidth(rng, 100)
		return Case{In: []Shape{{n, 2 * f}, {n, f}}}
	},
	Fill: fillGates,
}

// SwiGLU records y[n,f] = silu(gu[n,f]) gu[n,F+f], for gu [N,2F]: the gates' columns, then the ups'.
func (r *Recorder) SwiGLU(gu *Tensor) *Tensor { return r.Record("swiglu", nil, []*Tensor{gu})[0] }

func halfWidth(n *Node) int { return n.In[0].Shape[1] / 2 }

// fillGates puts gates among the inputs at which exp overflows or vanishes.
func fillGates(_ *rand.Rand, in []ref.Tensor, _ any) {
	f := in[0].Shape[1] / 2
	for i, v := range []float64{-200, -90, 0, 90, 200} {
		if i < f {
			in[0].Data[i] = v
		}
	}
}
